"use strict";

const list = document.getElementById("todos");
const state = document.getElementById("state");

async function call(path, method = "GET", body = undefined) {
  const answer = await fetch("api" + path, {
    method,
    headers: body && { "Content-Type": "application/json" },
    body: body && JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status}`);
  return answer.status === 204 ? null : answer.json();
}

function row(todo) {
  const item = document.createElement("li");
  item.classList.toggle("done", todo.done);

  const box = document.createElement("input");
  box.type = "checkbox";
  box.checked = todo.done;
  box.setAttribute("aria-label", "done");
  box.onchange = () => change(() => call(`/todos/${todo.id}`, "PATCH", { done: box.checked }));

  const title = document.createElement("span");
  title.textContent = todo.title;

  const remove = document.createElement("button");
  remove.textContent = "×";
  remove.title = "remove";
  remove.onclick = () => change(() => call(`/todos/${todo.id}`, "DELETE"));

  item.append(box, title, remove);
  return item;
}

async function change(step) {
  try {
    await step();
    const todos = await call("/todos");
    list.replaceChildren(...todos.map(row));
    const open = todos.filter((todo) => !todo.done).length;
    state.textContent = todos.length === 0 ? "Nothing yet." : `${open} of ${todos.length} to do`;
  } catch (error) {
    state.textContent = `The API does not answer (${error.message}).`;
  }
}

document.getElementById("new").onsubmit = (event) => {
  event.preventDefault();
  const title = document.getElementById("title");
  change(() => call("/todos", "POST", { title: title.value }));
  title.value = "";
};

change(async () => {});

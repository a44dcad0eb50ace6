"""A todo list over HTTP, kept in MariaDB."""
import os
import time
from contextlib import contextmanager

import pymysql
from fastapi import FastAPI, HTTPException, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest
from pydantic import BaseModel, Field

app = FastAPI(title="Todo")

REQUESTS = Counter("http_requests_total", "Requests answered", ["method", "path", "status"])
SECONDS = Histogram("http_request_duration_seconds", "Time to the answer", ["method", "path"])


class NewTodo(BaseModel):
    title: str = Field(min_length=1, max_length=200)


class Change(BaseModel):
    done: bool


class Todo(NewTodo):
    id: int
    done: bool


@contextmanager
def database():
    """A connection whose changes are kept only when all went well."""
    connection = pymysql.connect(
        host=os.environ["DB_HOST"],
        port=int(os.environ["DB_PORT"]),
        database=os.environ["DB_NAME"],
        user=os.environ["DB_USER"],
        password=os.environ["DB_PASSWORD"],
        connect_timeout=2,
        cursorclass=pymysql.cursors.DictCursor,
    )
    try:
        with connection.cursor() as cursor:
            yield cursor
        connection.commit()
    finally:
        connection.close()


@app.on_event("startup")
def make_table():
    with database() as db:
        db.execute(
            """CREATE TABLE IF NOT EXISTS todos (
                id INT AUTO_INCREMENT PRIMARY KEY,
                title VARCHAR(200) NOT NULL,
                done BOOLEAN NOT NULL DEFAULT FALSE
            ) DEFAULT CHARSET utf8mb4"""
        )


@app.middleware("http")
async def measure(request: Request, call_next):
    begin = time.perf_counter()
    status = 500
    try:
        response = await call_next(request)
        status = response.status_code
        return response
    finally:
        # The route's pattern and not the path: /todos/1 and /todos/2 are one series.
        route = request.scope.get("route")
        path = route.path if route else "other"
        REQUESTS.labels(request.method, path, status).inc()
        SECONDS.labels(request.method, path).observe(time.perf_counter() - begin)


@app.get("/todos", response_model=list[Todo])
def list_todos():
    with database() as db:
        db.execute("SELECT id, title, done FROM todos ORDER BY id")
        return db.fetchall()


@app.get("/todos/{todo_id}", response_model=Todo)
def read_todo(todo_id: int):
    with database() as db:
        return find(db, todo_id)


@app.post("/todos", response_model=Todo, status_code=201)
def add_todo(todo: NewTodo):
    with database() as db:
        db.execute("INSERT INTO todos (title) VALUES (%s)", (todo.title,))
        return Todo(id=db.lastrowid, title=todo.title, done=False)


@app.patch("/todos/{todo_id}", response_model=Todo)
def change_todo(todo_id: int, change: Change):
    with database() as db:
        db.execute("UPDATE todos SET done = %s WHERE id = %s", (change.done, todo_id))
        return find(db, todo_id)


@app.delete("/todos/{todo_id}", status_code=204)
def remove_todo(todo_id: int):
    with database() as db:
        find(db, todo_id)
        db.execute("DELETE FROM todos WHERE id = %s", (todo_id,))
    return Response(status_code=204)


@app.get("/health")
def health():
    try:
        with database() as db:
            db.execute("SELECT 1")
    except pymysql.MySQLError as error:
        raise HTTPException(503, f"the database does not answer: {error}") from error
    return {"status": "ok"}


@app.get("/metrics")
def metrics():
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def find(db, todo_id):
    db.execute("SELECT id, title, done FROM todos WHERE id = %s", (todo_id,))
    todo = db.fetchone()
    if todo is None:
        raise HTTPException(404, f"there is no todo {todo_id}")
    return todo

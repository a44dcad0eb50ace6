package engine

import "lus/internal/model/event"

// Emit tells whoever listens to the engine's events of something that happened
// elsewhere, to an image for example.
func (e *Engine) Emit(ev event.Event) { e.events.Publish(ev) }

module gapless.dev/gapless/examples/chi

go 1.26.0

require (
	gapless.dev/kit v0.0.0
	github.com/go-chi/chi/v5 v5.5.0
)

replace gapless.dev/kit => ../../kit

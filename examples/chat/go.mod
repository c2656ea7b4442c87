module gapless.dev/gapless/examples/chat

go 1.26.0

require (
	gapless.dev/kit v0.0.0
	github.com/coder/websocket v1.8.15
)

replace gapless.dev/kit => ../../kit

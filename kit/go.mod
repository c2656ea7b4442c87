module gapless.dev/kit

go 1.26

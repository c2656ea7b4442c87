package initialize

import (
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/cli/exit"
)

// An instruction of a Dockerfile, with its continued lines as one.
type instruction struct{ word, rest string }

// lastStage are the instructions of the stage that becomes the image.
func lastStage(text string) []instruction {
	text = regexp.MustCompile(`\\[ \t]*\r?\n`).ReplaceAllString(text, " ")
	var all []instruction
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		if word = strings.ToUpper(word); word == "FROM" {
			all = nil
		}
		all = append(all, instruction{word, strings.TrimSpace(rest)})
	}
	return all
}

// fromDockerfile drafts an app of what a Dockerfile says: its ports, whether its program gets SIGTERM, its health check.
func fromDockerfile(text []byte, name string) (app.Draft, error) {
	d := app.Draft{App: defaults(), Because: map[string]string{}, Head: []string{"Made by gapless init from " + name + "."}}
	a := &d.App
	stage := lastStage(string(text))
	if len(stage) == 0 || stage[0].word != "FROM" {
		return d, exit.Usagef("%s is no Dockerfile: it has no FROM", name)
	}
	if dir, err := filepath.Abs(filepath.Dir(name)); err == nil {
		a.Name = toName(filepath.Base(dir))
	}
	a.Image = app.Image{Name: a.Name + ":{version}"}
	d.Open = append(d.Open, "image is only a guess: write the registry before it, as in registry.example.org/"+a.Name+":{version}")
	ready := ""
	for _, in := range stage {
		switch in.word {
		case "EXPOSE":
			for word := range strings.FieldsSeq(in.rest) {
				expose(a, word)
			}
		case "ENTRYPOINT", "CMD":
			if !strings.HasPrefix(in.rest, "[") {
				d.Open = append(d.Open, in.word+" is written as a text, so that a shell is process 1 and SIGTERM does not reach the program: write it as words in brackets")
			}
		case "HEALTHCHECK":
			ready = in.rest
		}
	}
	if len(a.Ports) == 0 {
		a.Ports = []app.Port{{Name: "http", Public: 8080}}
		d.Open = append(d.Open, "there is no EXPOSE, so the port is the one that it finds in PORT, 8080")
	} else {
		d.Because["ports"] = "From EXPOSE."
	}
	a.Health.Ready = app.Check{TCP: true, Port: a.Ports[0].Name, Period: time.Second, Timeout: time.Second, FailureThreshold: 3, SuccessThreshold: 1}
	switch path := urlIn.FindStringSubmatch(ready); {
	case path != nil:
		a.Health.Ready = app.Check{Path: path[1], Port: a.Ports[0].Name, Period: time.Second, Timeout: time.Second, FailureThreshold: 3, SuccessThreshold: 1}
		d.Because["health"] = "From HEALTHCHECK."
	default:
		d.Open = append(d.Open, "ready means here that the port accepts connections; if the service has a path that says more, write health: {ready: /path}")
	}
	return d, nil
}

var urlIn = regexp.MustCompile(`https?://[^/\s"']+(/[^\s"'|;&]*)`)

// expose makes the first port the clients' and the others ports for checks.
func expose(a *app.App, word string) {
	number, protocol, _ := strings.Cut(word, "/")
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > 65535 || protocol != "" && protocol != "tcp" {
		return
	}
	switch len(a.Ports) {
	case 0:
		a.Ports = append(a.Ports, app.Port{Name: "http", Public: n})
	case 1:
		a.Ports = append(a.Ports, app.Port{Name: "health", Target: n, Inner: true})
	default:
		a.Ports = append(a.Ports, app.Port{Name: "p" + number, Target: n, Inner: true})
	}
}

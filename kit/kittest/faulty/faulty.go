// Package faulty holds services that are right in everything but one thing:
// for each rule of the contract one that breaks it, for whoever wants to see a
// judge at work, or to judge the judge. "good" breaks none.
package faulty

import (
	"cmp"
	"fmt"
	"os"
	"slices"
)

// A Fault is a service with something wrong.
type Fault struct {
	// Name is how it is asked for.
	Name string
	// Rule is the one that it breaks, and that is the first cause of whatever
	// else goes wrong; empty for a service that breaks none.
	Rule string
	// What it does wrong.
	What string

	serve func(*service) int
}

// Faults are all services: the good one, one for each rule, and some that are
// often met.
func Faults() []Fault {
	return []Fault{
		{"good", "", "does everything right", (*service).run},
		{"z1", "Z1", "dies of SIGTERM, as everything does that does nothing about it", naive},
		{"z2", "Z2", "answers liveness like readiness: while it drains, it says that it is dead", liveIsReady},
		{"z3", "Z3", "is ready at once and listens a second later", readyTooEarly},
		{"z4", "Z4", "says that it is ready until the end", alwaysReady},
		{"z5", "Z5", "closes its listener at SIGTERM; who is connected is served on", refusesNew},
		{"z6", "Z6", "cuts kept-alive connections at their next request after SIGTERM", cutsKept},
		{"z7", "Z7", "closes idle connections at SIGTERM", closesIdle},
		{"z8", "Z8", "never tells its clients to leave", noGoodbye},
		{"z9", "Z9", "drops slow requests at SIGTERM", dropsSlow},
		{"z10", "Z10", "stops answering at a fixed time, and still accepts", edge},
		{"z11", "Z11", "cuts its WebSockets without a close frame", cutsStreams},
		{"z12", "Z12", "says SERVING by gRPC health until the end", servingForEver},
		{"z13", "Z13", "exits with 7 though all went well", exitCode},
		{"z14", "Z14", "waits for six seconds at the end", lingers},
		{"z15", "Z15", "takes the second SIGTERM for an order to exit at once", secondTerm},
		{"z16", "Z16", "does not hear SIGTERM while it starts", deafStart},
		{"z17", "Z17", "goes on taking work while it drains", worksOn},
		{"z18", "Z18", "closes its database at SIGTERM", closesFirst},
		{"z19", "Z19", "carries out twice what is asked of it while it drains", twice},
		{"z20", "Z20", "leaves a child process behind", orphan},
		{"z21", "Z21", "does not say which version it is", nameless},
		{"z22", "Z22", "writes no report", silent},

		{"talk", "Z5", "the recipe of the talk: readiness off, then Shutdown at once", talk},
		{"shutdown", "Z5", "what the documentation of http.Server.Shutdown shows", shutdown},
		{"deaf", "Z1", "ignores SIGTERM, as a shell that is process 1 does", deaf},
		{"wait", "Z8", "readiness off, wait for the drain, then Shutdown", waitThenShutdown},
	}
}

// Find is the fault of that name.
func Find(name string) (Fault, error) {
	all := Faults()
	if i := slices.IndexFunc(all, func(f Fault) bool { return f.Name == name }); i >= 0 {
		return all[i], nil
	}
	return Fault{}, fmt.Errorf("there is no service %q: the names are good, z1 to z22, talk, shutdown, deaf and wait", name)
}

// Serve is the whole program: it serves on the port in PORT (default 8080) of
// the loopback address, with health on the address in GAPLESS_HEALTH, until it
// is told to stop, and returns the exit code. With SLOW_START=5s it starts
// that slowly.
func (f Fault) Serve() int {
	os.Setenv("GAPLESS_VERSION", cmp.Or(os.Getenv("GAPLESS_VERSION"), "1.0.0"))
	os.Setenv("GAPLESS_HEALTH", cmp.Or(os.Getenv("GAPLESS_HEALTH"), "127.0.0.1:8081"))
	return f.serve(newService("127.0.0.1:" + cmp.Or(os.Getenv("PORT"), "8080")))
}

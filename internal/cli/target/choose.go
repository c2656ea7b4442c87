package target

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/kube"
	"gapless.dev/gapless/internal/kube/verbs"
	"gapless.dev/gapless/internal/local"
	"gapless.dev/gapless/internal/report"
)

// Flags say which target is meant.
type Flags struct {
	// On is local or kube. Empty: what the other flags mean, else local if a Gapless answers at the socket, else kube.
	On string
	// Socket of the Gapless that runs on this machine.
	Socket string
	// Cluster and namespace.
	Cluster kube.Connection
}

// Register adds the flags.
func (f *Flags) Register(fs *pflag.FlagSet) {
	fs.StringVar(&f.On, "on", f.On, "where the app is: local (a gapless up on this machine) or kube (default local if one answers, else kube)")
	fs.StringVar(&f.Socket, "socket", "", "`path` of the running Gapless' socket (default GAPLESS_SOCKET, or one that belongs to you)")
	f.Cluster.Register(fs, "`namespace` (default that of the context)")
}

// Choose finds the target. socket is where a Gapless on this machine would answer, and user who types.
func (f *Flags) Choose(ctx context.Context, socket, user string) (Target, error) {
	here := &machine{client: local.Dial(socket), place: report.Place{Platform: report.Local, Socket: socket}, user: user}
	switch f.On {
	case report.Local:
		return here, nil
	case report.Kube:
		return f.cluster()
	case "":
	default:
		return nil, exit.Usagef("--on is %q: give local or kube", f.On)
	}
	switch {
	case f.Socket != "":
		return here, nil
	case f.Cluster != (kube.Connection{}):
		return f.cluster()
	}
	asking, stop := context.WithTimeout(ctx, answers)
	defer stop()
	_, nobody := here.client.Ping(asking)
	if local.CodeOf(nobody) != local.Unreachable {
		return here, nil
	}
	there, err := f.cluster()
	if err != nil {
		return nil, exit.With(exit.NothingAnswers, fmt.Errorf("%w; nor is there a cluster (%w)", nobody, err))
	}
	return there, nil
}

// answers bounds how long the Gapless on this machine may take to say that it is there.
const answers = 5 * time.Second

func (f *Flags) cluster() (Target, error) {
	there, err := verbs.Connect(f.Cluster)
	if err != nil {
		return nil, ClusterFailed(err)
	}
	return cluster{there}, nil
}

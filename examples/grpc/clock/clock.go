// Package clock is a gRPC service of one method that takes as long as it is asked to. It is described by hand, so that the example needs
// no generator; a service of yours has its protoc-gen-go-grpc instead.
package clock

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Wait is the full name of the method: google.protobuf.Duration in, google.protobuf.Timestamp out.
const Wait = "/example.Clock/Wait"

// Register adds the service to a server.
func Register(s *grpc.Server) {
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: "example.Clock",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{
			MethodName: "Wait",
			Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				var in durationpb.Duration
				if err := decode(&in); err != nil {
					return nil, err
				}
				return wait(ctx, in.AsDuration())
			},
		}},
	}, nil)
}

func wait(ctx context.Context, d time.Duration) (*timestamppb.Timestamp, error) {
	select {
	case <-time.After(d):
		return timestamppb.Now(), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

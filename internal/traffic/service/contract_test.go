package service_test

import (
	"testing"

	"gapless.dev/gapless/internal/traffic/traffictest"
)

func TestContract(t *testing.T) { traffictest.Run(t, traffictest.Case{}) }

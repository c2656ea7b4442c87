package world

import (
	"gapless.dev/gapless/api/v1alpha1"
)

func BlueGreen() *v1alpha1.Strategy { return &v1alpha1.Strategy{BlueGreen: &v1alpha1.BlueGreen{}} }

func Canary(pauses ...string) *v1alpha1.Strategy {
	c := &v1alpha1.Canary{}
	for i, p := range pauses {
		c.Steps = append(c.Steps, v1alpha1.Step{Weight: new(int32(100 * (i + 1) / (len(pauses) + 1))), Pause: p})
	}
	return &v1alpha1.Strategy{Canary: c}
}

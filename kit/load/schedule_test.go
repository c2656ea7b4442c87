package load

import (
	"math"
	"testing"
	"time"
)

func TestSchedule_DoesNotDrift(t *testing.T) {
	s := Schedule{Rate: 300, For: time.Hour}
	if n := s.Count(); n != 300*3600 {
		t.Fatalf("count %d", n)
	}
	if at := s.Shot(300 * 3599).At; at != 3599*time.Second {
		t.Errorf("request %d is due at %v", 300*3599, at)
	}
}

func TestSchedule_HoldsItsSharesOnEveryStretch(t *testing.T) {
	s := Schedule{Rate: 100, New: 0.5, Post: 0.2, H2: 0.25}
	const stretch = 400
	for from := range 20 {
		var fresh, post, h2, all int
		for i := range stretch {
			shot := s.Shot(from*stretch + i)
			if shot.New {
				fresh++
			}
			if shot.Method == "POST" {
				post++
			}
			if shot.HTTP2 {
				h2++
			}
			if shot.New && shot.HTTP2 && shot.Method == "POST" {
				all++
			}
		}
		for _, c := range []struct {
			what string
			got  int
			want float64
			near float64
		}{{"new", fresh, 0.5, 4}, {"post", post, 0.2, 4}, {"h2", h2, 0.25, 4}, {"all three", all, 0.025, 8}} {
			if math.Abs(float64(c.got)-c.want*stretch) > c.near {
				t.Errorf("stretch %d: %d of %d are %s, want %.0f", from, c.got, stretch, c.what, c.want*stretch)
			}
		}
	}
}

func TestSchedule_SharesOfNothingAndAll(t *testing.T) {
	s := Schedule{Rate: 1, New: 1}
	for seq := range 1000 {
		if shot := s.Shot(seq); !shot.New || shot.HTTP2 || shot.Method != "GET" {
			t.Fatalf("shot %+v", shot)
		}
	}
}

package probe

import (
	"testing"
	"time"
)

func TestTimeline_KeepsItsCountsWhenItGetsWider(t *testing.T) {
	tl := timeline{width: finest, rate: 10}
	const hours = 3
	n := 0
	for due := time.Duration(0); due < hours*time.Hour; due += 100 * time.Millisecond {
		if n%1000 == 0 {
			tl.at(due).lose("refused")
		} else {
			tl.at(due).answered("1.0.0")
		}
		n++
	}
	if len(tl.cells) > mostCells {
		t.Errorf("%d cells are kept", len(tl.cells))
	}
	width, buckets := tl.report(hours * time.Hour)
	if len(buckets) > 400 {
		t.Errorf("%d buckets of %v are reported", len(buckets), width)
	}
	sum, lost := 0, 0
	for _, b := range buckets {
		sum += b.Answered() + b.Lost
		lost += b.Lost
	}
	if sum != n || lost != n/1000 {
		t.Errorf("%d requests with %d lost are reported, %d with %d were counted", sum, lost, n, n/1000)
	}
}

func TestTimeline_TellsTheLastSecondThatIsOver(t *testing.T) {
	tl := timeline{width: finest, rate: 100}
	for i := range 300 {
		version := "1.0.0"
		if i >= 150 {
			version = "2.0.0"
		}
		tl.at(time.Duration(i) * 10 * time.Millisecond).answered(version)
	}
	versions, lost := tl.lastSecond(2100 * time.Millisecond)
	if versions["1.0.0"] != 50 || versions["2.0.0"] != 50 || lost != 0 {
		t.Errorf("%v, %d lost", versions, lost)
	}
	if versions, _ := tl.lastSecond(0); len(versions) != 0 {
		t.Errorf("before the start: %v", versions)
	}
}

package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// picture is the timeline drawn: answers per version stacked, losses on top and again in a
// strip of their own below, phases as bands behind. All lengths are in the units of the view box.
type picture struct {
	Width, Height            float64
	Left, Right, Top, Bottom float64 // edges of the plot
	StripTop, StripBottom    float64 // edges of the strip of losses
	Bands                    []band
	Areas                    []area
	Losses                   string // path of the losses on top of the stack
	Strip                    []tick
	Gaps                     []gapMark
	YTicks, XTicks           []tick
	Hovers                   []hover
	Title                    string
}

// BandHeight reaches from the labels to the bottom of the strip, HoverHeight over plot and strip.
func (p *picture) BandHeight() float64  { return p.StripBottom - 14 }
func (p *picture) StripHeight() float64 { return p.StripBottom - p.StripTop }
func (p *picture) PlotWidth() float64   { return p.Right - p.Left }
func (p *picture) PlotHeight() float64  { return p.Bottom - p.Top }
func (p *picture) HoverHeight() float64 { return p.StripBottom - p.Top }

type band struct {
	X, W  float64
	Label string // empty where it does not fit
	Full  string
	Odd   bool
}

type area struct {
	Class string
	Path  string
}

type tick struct {
	X, Y, W float64
	Label   string
	Opacity float64
}

type gapMark struct {
	X, W, LabelX float64
	Anchor       string
	Label        string
}

type hover struct {
	X, W float64
	Text string
}

const (
	pictureWidth = 1120
	plotHeight   = 210
	stripHeight  = 14
)

// draw returns nil when there is nothing to draw.
func draw(r Report) *picture {
	if r.Traffic == nil || len(r.Traffic.Timeline) == 0 {
		return nil
	}
	d := newDrawing(r)
	d.bands()
	d.stack()
	d.losses()
	d.gaps()
	d.axes()
	return d.pic
}

type drawing struct {
	r       Report
	t       *Traffic
	buckets []rateBucket
	end     time.Duration // the right edge; the left one is 0
	top     float64       // requests/s at the upper edge
	pic     *picture
}

// rateBucket is a bucket with its real width: the last one may be cut short by the end.
type rateBucket struct {
	Bucket
	from, to time.Duration
}

func (b rateBucket) rate(n int) float64 { return float64(n) / (b.to - b.from).Seconds() }

func newDrawing(r Report) *drawing {
	t := r.Traffic
	d := &drawing{r: r, t: t, end: t.Elapsed.Duration()}
	for _, b := range t.Timeline {
		from := b.Start.Duration()
		to := from + t.Bucket.Duration()
		// What is left of a bucket at the end is drawn by its real width; a sliver would only be noise.
		if left := d.end - from; left > 0 && left < t.Bucket.Duration() {
			to = d.end
			if left < t.Bucket.Duration()/2 {
				continue
			}
		}
		d.end = max(d.end, to)
		d.buckets = append(d.buckets, rateBucket{b, from, to})
	}
	for _, b := range d.buckets {
		d.top = max(d.top, b.rate(b.Answered()+b.Lost))
	}
	d.top = max(d.top, 1) * 1.08
	const top = 40
	d.pic = &picture{
		Width: pictureWidth, Height: top + plotHeight + 10 + stripHeight + 40,
		Left: 46, Right: pictureWidth - 4, Top: top, Bottom: top + plotHeight,
		StripTop: top + plotHeight + 8, StripBottom: top + plotHeight + 8 + stripHeight,
		Title: "Requests a second over time. " + t.Headline() + ".",
	}
	return d
}

func (d *drawing) x(at time.Duration) float64 {
	share := min(1, max(0, float64(at)/float64(d.end)))
	return d.pic.Left + share*(d.pic.Right-d.pic.Left)
}

func (d *drawing) y(rate float64) float64 {
	return d.pic.Bottom - rate/d.top*(d.pic.Bottom-d.pic.Top)
}

// bands draws the phases; a bare probe's marks stand in for them.
func (d *drawing) bands() {
	type stretch struct {
		from, to time.Duration
		label    string
	}
	var all []stretch
	for _, s := range d.r.Phases {
		to := d.end
		if !s.End.IsZero() {
			to = s.End.Sub(d.t.Started)
		}
		all = append(all, stretch{s.Start.Sub(d.t.Started), to, s.label()})
	}
	if len(all) == 0 {
		marks := slices.SortedFunc(slices.Values(d.t.Marks), func(a, b Mark) int { return cmp.Compare(a.At, b.At) })
		for i, m := range marks {
			to := d.end
			if i+1 < len(marks) {
				to = marks[i+1].At.Duration()
			}
			all = append(all, stretch{m.At.Duration(), to, m.Name})
		}
	}
	for i, s := range all {
		if s.to <= 0 || s.from >= d.end {
			continue
		}
		x := d.x(s.from)
		w := d.x(s.to) - x
		d.pic.Bands = append(d.pic.Bands, band{
			X: x, W: w, Odd: i%2 == 1, Label: fit(s.label, w),
			Full: fmt.Sprintf("%s from %s for %s", s.label, offset(s.from), Short(s.to-s.from)),
		})
	}
}

// fit shortens a label to its last words until it goes into the width, or gives up.
func fit(label string, width float64) string {
	const perRune, padding = 6.4, 10
	for label != "" {
		if float64(len([]rune(label)))*perRune+padding <= width {
			return label
		}
		// Of "Shifting 25 %" the figure says more.
		_, rest, found := strings.Cut(label, " ")
		if !found || rest == "%" {
			return ""
		}
		label = rest
	}
	return ""
}

// stack draws one area a version, the first to answer at the bottom, and the losses on top.
func (d *drawing) stack() {
	base := make([]float64, len(d.buckets))
	for i, name := range d.t.VersionNames() {
		path := d.layer(base, func(b Bucket) int { return b.Versions[name] })
		d.pic.Areas = append(d.pic.Areas, area{Class: versionClass(i), Path: path})
	}
	d.pic.Losses = d.layer(base, func(b Bucket) int { return b.Lost })
}

// layer is a stepped area over base, which it raises. Empty stretches are left out.
func (d *drawing) layer(base []float64, count func(Bucket) int) string {
	var path strings.Builder
	for i := 0; i < len(d.buckets); {
		if count(d.buckets[i].Bucket) == 0 {
			i++
			continue
		}
		from := i
		var upper, lower []string
		for ; i < len(d.buckets) && count(d.buckets[i].Bucket) > 0; i++ {
			b := d.buckets[i]
			low := base[i]
			base[i] += b.rate(count(b.Bucket))
			upper = append(upper, fmt.Sprintf("V%sH%s", num(d.y(base[i])), num(d.x(b.to))))
			lower = append(lower, fmt.Sprintf("V%sH%s", num(d.y(low)), num(d.x(b.from))))
		}
		slices.Reverse(lower)
		x := num(d.x(d.buckets[from].from))
		fmt.Fprintf(&path, "M%s %s%s%sZ", x, num(d.pic.Bottom), strings.Join(upper, ""), strings.Join(lower, ""))
	}
	return path.String()
}

// losses draws the strip, in which even one lost request of thousands can be seen.
func (d *drawing) losses() {
	for _, b := range d.buckets {
		x := d.x(b.from)
		w := d.x(b.to) - x
		d.pic.Hovers = append(d.pic.Hovers, hover{x, w, d.describe(b)})
		if b.Lost == 0 {
			continue
		}
		share := float64(b.Lost) / float64(b.Lost+b.Answered())
		d.pic.Strip = append(d.pic.Strip, tick{X: x, W: max(w, 1.5), Opacity: round2(0.45 + 0.55*share)})
	}
}

func (d *drawing) describe(b rateBucket) string {
	s := fmt.Sprintf("%s to %.1f s", strings.TrimSuffix(offset(b.from), " s"), b.to.Seconds())
	for _, name := range d.t.VersionNames() {
		if n := b.Versions[name]; n > 0 {
			s += fmt.Sprintf("\n%s: %s", named(name), Count(n))
		}
	}
	if b.Lost > 0 {
		s += fmt.Sprintf("\nlost: %s (%s)", Count(b.Lost), counts(b.Losses))
	}
	return s
}

// gaps marks those that are long enough to be seen; the longest has its length written.
func (d *drawing) gaps() {
	longest := -1
	for i, g := range d.t.Gaps {
		if longest < 0 || g.Length > d.t.Gaps[longest].Length {
			longest = i
		}
	}
	for i, g := range d.t.Gaps {
		x := d.x(g.Start.Duration())
		w := d.x(g.Start.Duration()+g.Length.Duration()) - x
		if i != longest && w < 3 {
			continue
		}
		m := gapMark{X: x, W: max(w, 1.5), Anchor: "middle"}
		m.LabelX = m.X + m.W/2
		if i == longest {
			m.Label = "longest gap " + Short(g.Length.Duration())
			if half := float64(len(m.Label)) * 3.3; m.LabelX-half < d.pic.Left {
				m.LabelX, m.Anchor = m.X, "start"
			} else if m.LabelX+half > d.pic.Right {
				m.LabelX, m.Anchor = m.X+m.W, "end"
			}
		}
		d.pic.Gaps = append(d.pic.Gaps, m)
	}
}

func (d *drawing) axes() {
	for rate := range steps(d.top, 4) {
		if rate != math.Trunc(rate) {
			continue
		}
		d.pic.YTicks = append(d.pic.YTicks, tick{Y: d.y(rate), Label: Count(int(math.Round(rate)))})
	}
	for s := range steps(d.end.Seconds(), 12) {
		d.pic.XTicks = append(d.pic.XTicks, tick{X: d.x(time.Duration(s * float64(time.Second))), Label: axisTime(s, d.end)})
	}
}

// steps yields about n round values from 0 up to most.
func steps(most float64, n int) func(func(float64) bool) {
	step := math.Pow(10, math.Floor(math.Log10(most/float64(n))))
	for _, f := range []float64{1, 2, 5, 10} {
		if most/(step*f) <= float64(n) {
			step *= f
			break
		}
	}
	return func(yield func(float64) bool) {
		for i := 0; float64(i)*step <= most*1.0001; i++ {
			if !yield(float64(i) * step) {
				return
			}
		}
	}
}

func axisTime(s float64, end time.Duration) string {
	if end >= 2*time.Minute {
		return fmt.Sprintf("%d:%02d", int(s)/60, int(s)%60)
	}
	return fmt.Sprintf("%g s", round2(s))
}

func versionClass(i int) string { return fmt.Sprintf("v%d", i%8) }

func num(f float64) string { return fmt.Sprintf("%g", round2(f)) }

func round2(f float64) float64 { return math.Round(f*100) / 100 }

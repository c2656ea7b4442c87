package comparetest

import "fmt"

// Bins is how many bins a pair is looked at: five minutes of 5 s.
const Bins = 60

// Healthy are pairs in which neither version is worse than the other, at 300 requests a second and with a scrape every 5 s unless the name
// says otherwise.
func Healthy() []Family {
	var all []Family
	add := func(share float64, name string, f Family) {
		f.Name = fmt.Sprintf("%s; candidate's share %g %%", name, 100*share)
		f.Share = share
		if f.Rate == 0 {
			f.Rate = 300
		}
		f.Seconds = 5
		all = append(all, f)
	}
	for _, share := range []float64{0.05, 0.1, 0.5, 0.9} {
		add(share, "1 in 2,000 bad", Family{Law: Even(0.0005, 0.0005)})
		add(share, "1 % bad, 30 requests/s", Family{Law: Even(0.01, 0.01), Rate: 30})
		add(share, "10 % slow", Family{Law: Even(0.1, 0.1)})
		add(share, "spells of 30 % bad for both, 12 s long", Family{Law: Together(0.001, 0.3, 0.05, 0.4)})
		add(share, "bursts of 20 every 10 s, each of one version", Family{Law: Bursts(0, 10, 20)})
		add(share, "bursts of 20 every 60 s, each of one version", Family{Law: Bursts(0, 60, 20)})
		add(share, "bursts of 3 every 10 s, and 1 in 2,000 bad", Family{Law: Bursts(0.0005, 10, 3)})
		add(share, "1 % bad, each pod wandering by a factor of e over 10 s", Family{Law: Wandering(0.01, 1, 10, 3, 1)})
		add(share, "10 % slow, each pod wandering by a factor of 1.6 over 10 s", Family{Law: Wandering(0.1, 0.5, 10, 3, 3)})
		add(share, "a slow start: 3 % bad, mending over 3 s, while its share comes in", Family{Law: SlowStart(0.001, 0.03, 3), Ramp: true})
	}
	return all
}

// Worse are pairs in which the candidate is worse, at 300 requests a second and with a scrape every 5 s.
func Worse() []Family {
	var all []Family
	for _, share := range []float64{0.05, 0.1, 0.25, 0.5} {
		for _, p := range [][2]float64{{0, 0.005}, {0, 0.01}, {0, 0.02}, {0.001, 0.02}, {0, 0.05}, {0.01, 0.03}, {0.1, 0.2}, {0.1, 0.6}} {
			all = append(all, Family{
				Name: fmt.Sprintf("stable %g %%, candidate %g %%; candidate's share %g %%", 100*p[0], 100*p[1], 100*share),
				Rate: 300, Share: share, Seconds: 5, Law: Even(p[0], p[1]),
			})
		}
		all = append(all, Family{
			Name: fmt.Sprintf("stable 0 %%, candidate 2 %% from the 60th second on; candidate's share %g %%", 100*share),
			Rate: 300, Share: share, Seconds: 5, Law: Later(0, 0.02, 60),
		})
	}
	return all
}

// Beyond are pairs that the comparison does not promise anything for: one version by itself goes bad for longer than anybody could tell
// from a bad version.
func Beyond() []Family {
	var all []Family
	for _, seconds := range []float64{20, 60} {
		all = append(all, Family{
			Name: fmt.Sprintf("1 %% bad, each pod wandering by a factor of e over %g s; candidate's share 10 %%", seconds),
			Rate: 300, Share: 0.1, Seconds: 5, Law: Wandering(0.01, 1, seconds, 3, 1),
		})
	}
	all = append(all, Family{
		Name: "a start with 10 % bad, mending over 6 s; candidate's share 10 %",
		Rate: 300, Share: 0.1, Seconds: 5, Law: SlowStart(0.001, 0.1, 6),
	})
	return all
}

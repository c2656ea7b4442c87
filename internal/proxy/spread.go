package proxy

// spread lists places 0..len(weights)-1 so that each comes as often as its weight says, and as evenly as can be: with 75 and 25
// it is 0 0 1 0, over and over. So a weight is exact in every round, not only on average.
func spread(weights []int) []uint8 {
	total, common := 0, 0
	for _, w := range weights {
		total += w
		common = gcd(w, common)
	}
	if total == 0 {
		return nil
	}
	order := make([]uint8, 0, total/common)
	owed := make([]int, len(weights))
	for range total / common {
		most := 0
		for i, w := range weights {
			owed[i] += w
			if owed[i] > owed[most] {
				most = i
			}
		}
		owed[most] -= total
		order = append(order, uint8(most))
	}
	return order
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

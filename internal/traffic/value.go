package traffic

import (
	"maps"
	"reflect"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Weight reads the field weight of an entry; absent is the default of its kind.
func Weight(entry map[string]any, absent int) int {
	switch w := entry["weight"].(type) {
	case int64:
		return int(w)
	case float64:
		return int(w)
	}
	return absent
}

// Port reads a port that is a number or a name.
func Port(v any) intstr.IntOrString {
	switch p := v.(type) {
	case int64:
		return intstr.FromInt32(int32(p))
	case float64:
		return intstr.FromInt32(int32(p))
	case string:
		if n, err := strconv.Atoi(p); err == nil {
			return intstr.FromInt32(int32(n))
		}
		return intstr.FromString(p)
	}
	return intstr.IntOrString{}
}

func servicePort(want intstr.IntOrString) func(corev1.ServicePort) bool {
	return func(p corev1.ServicePort) bool {
		return want.Type == intstr.Int && p.Port == want.IntVal || want.Type == intstr.String && p.Name == want.StrVal
	}
}

func portName(p corev1.ServicePort) string {
	if p.Name == "" {
		return strconv.Itoa(int(p.Port))
	}
	return strconv.Itoa(int(p.Port)) + " (" + p.Name + ")"
}

// sameBut tells whether two entries are the same but for one key.
func sameBut(a, b map[string]any, key string) bool {
	x, y := maps.Clone(a), maps.Clone(b)
	delete(x, key)
	delete(y, key)
	return reflect.DeepEqual(x, y)
}

func copyOf(entry map[string]any) map[string]any { return runtime.DeepCopyJSON(entry) }

func inWords(all []string) string {
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ", ")
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

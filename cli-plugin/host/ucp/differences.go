package ucp

import (
	"maps"
	"slices"
)

// Differences names the keys whose values differ between two configurations,
// such as "trust_configuration.require_content_trust", sorted. It compares
// what the documents say, because UCP writes its export anew; it repeats no
// value, because one may be a secret.
func Differences(meant, got []byte) ([]string, error) {
	a, err := decode(meant)
	if err != nil {
		return nil, err
	}
	b, err := decode(got)
	if err != nil {
		return nil, err
	}
	var keys []string
	differ("", a, b, &keys)
	return keys, nil
}

func differ(path string, a, b map[string]any, keys *[]string) {
	names := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		left, inA := a[name]
		right, inB := b[name]
		leftTable, leftIsTable := left.(map[string]any)
		rightTable, rightIsTable := right.(map[string]any)
		switch {
		case inA && inB && leftIsTable && rightIsTable:
			differ(path+name+".", leftTable, rightTable, keys)
		case !inA || !inB || !equal(left, right):
			*keys = append(*keys, path+name)
		}
	}
}

package manifests

import (
	"crypto/sha256"
	"slices"

	"github.com/opencontainers/go-digest"
)

// maxLevels is how far up parents are followed: from a configuration to its
// manifest, the list, and two lists of lists. Engines nest no deeper.
const maxLevels = 4

// A sum is a sha256; half the size of a digest.Digest, and without a pointer.
type sum [sha256.Size]byte

// sumOf reads a digest; false if it is no sha256 in lower case. It allocates
// nothing, because every question passes here.
func sumOf(d digest.Digest) (sum, bool) {
	const prefix = "sha256:"
	var s sum
	if len(d) != len(prefix)+2*len(s) || d[:len(prefix)] != prefix {
		return s, false
	}
	for i := range s {
		high, low := nibble(d[len(prefix)+2*i]), nibble(d[len(prefix)+2*i+1])
		if high > 15 || low > 15 {
			return sum{}, false
		}
		s[i] = high<<4 | low
	}
	return s, true
}

// nibble is the value of a lower-case hexadecimal digit; more than 15 for
// what is none.
func nibble(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	default:
		return 255
	}
}

// A node is a document: what it is called, and what it names.
type node struct {
	sum    sum
	digest digest.Digest
	size   int64
	config []sum // one at most
	listed []sum
}

func newNode(raw []byte, m Manifest) *node {
	s := sum(sha256.Sum256(raw))
	n := &node{sum: s, digest: digest.NewDigestFromBytes(digest.SHA256, s[:]), size: int64(len(raw))}
	if s, ok := sumOf(m.config()); ok {
		n.config = []sum{s}
	}
	for _, d := range m.listed() {
		if s, ok := sumOf(d); ok && !slices.Contains(n.listed, s) {
			n.listed = append(n.listed, s)
		}
	}
	return n
}

// A graph is the relation "names", to be followed upwards.
type graph struct {
	nodes   map[sum]*node
	configs map[sum][]*node // manifests, by their configuration
	lists   map[sum][]*node // lists, by what is in them
}

func newGraph() graph {
	return graph{nodes: map[sum]*node{}, configs: map[sum][]*node{}, lists: map[sum][]*node{}}
}

func (g graph) add(n *node) {
	g.nodes[n.sum] = n
	for _, s := range n.config {
		g.configs[s] = append(g.configs[s], n)
	}
	for _, s := range n.listed {
		g.lists[s] = append(g.lists[s], n)
	}
}

func (g graph) remove(n *node) {
	delete(g.nodes, n.sum)
	for _, s := range n.config {
		drop(g.configs, s, n)
	}
	for _, s := range n.listed {
		drop(g.lists, s, n)
	}
}

func drop(edges map[sum][]*node, s sum, n *node) {
	rest := slices.DeleteFunc(edges[s], func(other *node) bool { return other == n })
	if len(rest) == 0 {
		delete(edges, s)
		return
	}
	edges[s] = rest
}

// above gives what names s, directly or through lists. A document that is
// itself known is no configuration, whatever some manifest calls it: only
// lists name it.
func (g graph) above(s sum) []digest.Digest {
	level := g.lists[s]
	if g.nodes[s] == nil && len(g.configs[s]) > 0 {
		level = slices.Concat(g.configs[s], level)
	}
	if len(level) == 0 {
		return nil
	}
	seen := map[*node]bool{}
	digests := make([]digest.Digest, 0, 2*len(level))
	for range maxLevels {
		var next []*node
		for _, n := range level {
			if seen[n] {
				continue
			}
			seen[n] = true
			digests = append(digests, n.digest)
			next = append(next, g.lists[n.sum]...)
		}
		level = next
	}
	return digests
}

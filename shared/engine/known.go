package engine

import (
	"sync"

	"github.com/opencontainers/go-digest"
)

// maxKnown bounds the images that a client remembers: engines hold hundreds,
// at some hundred bytes each.
const maxKnown = 4096

// known are images as the engine last described them, by ID. An ID is the hash
// of what it names, so what was said of it stays true: the digests it was
// pulled by are digests of that content still. Only new ones are missed, and
// names that moved; so a no that rests on memory is asked again.
type known struct {
	mu     sync.Mutex
	images map[digest.Digest]HeldImage
}

func (k *known) find(id digest.Digest) (HeldImage, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	image, ok := k.images[id]
	return image, ok
}

func (k *known) keep(image HeldImage) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.images == nil || len(k.images) >= maxKnown {
		k.images = map[digest.Digest]HeldImage{}
	}
	k.images[image.ID] = image
}

func (k *known) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.images = nil
}

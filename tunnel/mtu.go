package tunnel

import "sync/atomic"

// keeper gives the TUN device its MTU. Doing so may take a while, as it needs
// privileges that the pump may not have, so the pump does not wait for it.
type keeper struct {
	set   func(int) error
	want  chan int // the newest only
	done  chan struct{}
	fault atomic.Pointer[string]
}

func newKeeper(set func(int) error) *keeper {
	k := &keeper{set: set, want: make(chan int, 1), done: make(chan struct{})}
	go func() {
		defer close(k.done)
		for mtu := range k.want {
			if err := k.set(mtu); err != nil {
				text := err.Error()
				k.fault.Store(&text)
			} else {
				k.fault.Store(nil)
			}
		}
	}()
	return k
}

// change asks for another MTU. Only the pump calls it.
func (k *keeper) change(mtu int) {
	select {
	case <-k.want: // older
	default:
	}
	k.want <- mtu
}

func (k *keeper) close() {
	close(k.want)
	<-k.done
}

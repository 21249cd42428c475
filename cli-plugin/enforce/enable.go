package enforce

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Options say how a plan is carried out.
type Options struct {
	Keeper  []string                        // program and arguments that call Keep
	Within  time.Duration                   // for Confirm
	Confirm func(ctx context.Context) error // asks a person whether all is well; nil: nobody is there
	Approve func(ctx context.Context) error // records who may run, before the policy is in force
}

// Enable carries a plan out. Unless its error is nil everything is as it was
// before, or the error says what is not.
func (s Switch) Enable(ctx context.Context, p Plan, o Options) error {
	unlock, err := s.Folder.lock(ctx, time.Second)
	if err != nil {
		return err
	}
	defer func() { unlock() }()
	if j, err := s.Folder.Read(); err != nil || j != nil {
		return errors.Join(err, Unfinished(j))
	}
	if o.Approve != nil {
		if err := o.Approve(ctx); err != nil {
			return fmt.Errorf("recording the containers that may run: %w", err)
		}
	}
	if err := s.Folder.keep(p.Journal); err != nil {
		return err
	}
	k, err := startKeeper(ctx, s.Folder, o.Keeper[0], o.Keeper[1:])
	if err != nil {
		return errors.Join(err, s.Folder.clear(&p.Journal)) // nothing was changed yet
	}
	err = s.carryOut(ctx, p.Journal, p.Dockerd)
	if err == nil {
		err = confirm(ctx, k, o)
	}
	if err == nil {
		done := p.Journal
		done.Phase = InForce
		err = s.Folder.write(done)
	}
	if err == nil {
		unlock() // should the keeper be taking back just now, it wants the lock
		err = k.keep()
	}
	if err == nil {
		return nil
	}
	err = s.giveUp(ctx, k, unlock, err)
	if p.Journal.Said {
		err = fmt.Errorf("%w; the files named docker-stig-authz before this, and the engine may have read them now: %s", err, sayNoMore)
	}
	return err
}

// sayNoMore is how an engine is kept from asking that was told to by others.
const sayNoMore = "to keep it from asking, take docker-stig-authz out of daemon.json and reload the engine"

// confirm asks the person, while the keeper counts.
func confirm(ctx context.Context, k *keeper, o Options) error {
	if o.Confirm == nil {
		return ctx.Err()
	}
	if err := k.say(sayConfirm + o.Within.String()); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.Within)
	defer cancel()
	return o.Confirm(ctx)
}

// giveUp has everything taken back, by the keeper or else by ourselves.
func (s Switch) giveUp(ctx context.Context, k *keeper, unlock func(), why error) error {
	unlock()
	err := k.undo()
	if errors.Is(err, errKeeperGone) {
		err = s.takeBackAlone(context.WithoutCancel(ctx))
	}
	if err != nil {
		return fmt.Errorf("%w; and %w; all else is as it was: run docker stig authz disable, which tries again", why, err)
	}
	return fmt.Errorf("%w; everything was taken back", why)
}

// Disable takes back what Enable did.
func (s Switch) Disable(ctx context.Context) error {
	unlock, err := s.Folder.lock(ctx, time.Second)
	if err != nil {
		return err
	}
	defer unlock()
	j, err := s.Folder.Read()
	if err != nil {
		return err
	}
	if j == nil {
		return errors.New("docker stig authz enable has changed nothing here")
	}
	return s.TakeBack(ctx, j)
}

// Unfinished says what to do about a journal that is there.
func Unfinished(j *Journal) error {
	if j == nil {
		return nil
	}
	if j.Phase == InForce {
		return fmt.Errorf("this was enabled on %s: docker stig authz disable takes that back", j.Begun.Format(time.RFC3339))
	}
	return fmt.Errorf("an enable of %s was cut off: docker stig authz disable takes back what it changed", j.Begun.Format(time.RFC3339))
}

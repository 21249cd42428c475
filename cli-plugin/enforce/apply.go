package enforce

import (
	"context"
	"errors"
	"fmt"
)

// A Switch turns an engine over, forth and back.
type Switch struct {
	Init   *Systemd // nil: there is none
	Folder Folder
}

// carryOut makes the changes of a journal and checks them. Whatever goes wrong,
// TakeBack undoes what was done.
func (s Switch) carryOut(ctx context.Context, j Journal, d *Dockerd) error {
	ctx, cancel := context.WithTimeout(ctx, applyWithin)
	defer cancel()
	if err := s.changePolicy(ctx, j, d); err != nil {
		return err
	}
	for _, file := range j.Files {
		if file.Kind == PolicyFile {
			continue
		}
		if err := file.apply(); err != nil {
			return err
		}
	}
	// Once more, right before the engine is told: naming a plugin that does
	// not answer ends it.
	if err := Prove(ctx, d.PluginSocket()); err != nil {
		return err
	}
	if err := s.tellEngine(ctx, j, d); err != nil {
		return err
	}
	return s.asked(ctx, j)
}

// changePolicy puts the policy in force, and wants the plugin to refuse by it.
func (s Switch) changePolicy(ctx context.Context, j Journal, d *Dockerd) error {
	for _, file := range j.Files {
		if file.Kind != PolicyFile {
			continue
		}
		if err := file.apply(); err != nil {
			return err
		}
	}
	if err := reloadPlugin(ctx, s.Init, d.PluginSocket()); err != nil {
		return err
	}
	return settle(ctx, func(ctx context.Context) error {
		enforces, err := Enforces(ctx, d.PluginSocket())
		if err == nil && !enforces {
			err = errors.New("docker-stig-authz does not enforce, although the policy says so: does it run with another --policy?")
		}
		return err
	})
}

// tellEngine has the engine act on its new configuration.
func (s Switch) tellEngine(ctx context.Context, j Journal, d *Dockerd) error {
	if j.Guard {
		return s.moveIn(ctx)
	}
	return reloadEngine(ctx, s.Init, d)
}

// moveIn puts the guard between the public socket and the engine.
func (s Switch) moveIn(ctx context.Context) error {
	for _, step := range [][]string{
		{"daemon-reload"},
		{"stop", engineService, engineSocket},
		{"enable --now", guardSocket},
		{"start", engineSocket, engineService},
	} {
		if err := s.Init.Do(ctx, step[0], step[1:]...); err != nil {
			return err
		}
	}
	return nil
}

// moveOut gives the public socket back to the engine. It goes on after an
// error: half of a way back is worse than a whole one.
func (s Switch) moveOut(ctx context.Context) error {
	if s.Init == nil {
		return errors.New("systemd does not run, and the guard was its unit: start it")
	}
	var errs []error
	for _, step := range [][]string{
		{"daemon-reload"},
		{"disable --now", guardSocket},
		{"stop", guardService, engineService, engineSocket},
		{"start", engineSocket, engineService},
	} {
		errs = append(errs, s.Init.Do(ctx, step[0], step[1:]...))
	}
	return errors.Join(errs...)
}

// asked wants the engine to work, and to ask the plugin.
func (s Switch) asked(ctx context.Context, j Journal) error {
	err := settle(ctx, func(ctx context.Context) error {
		if err := Answers(ctx, j.Engine); err != nil {
			return err
		}
		refuses, err := Refuses(ctx, j.Engine)
		if err == nil && !refuses {
			err = errors.New("it does not ask docker-stig-authz")
		}
		if err != nil || !j.Guard {
			return err
		}
		speaks, err := SpeaksHTTP2(ctx, j.Engine)
		if err == nil && speaks {
			err = errors.New("the guard does not hold its socket")
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("the engine did not answer through the plugin within %v: %w", settleWithin, err)
	}
	return nil
}

// TakeBack undoes what a journal says, whether all of it was done or not, and
// forgets the journal once the engine is as it was. Doing it twice does no
// harm.
func (s Switch) TakeBack(ctx context.Context, j *Journal) error {
	ctx, cancel := context.WithTimeout(ctx, undoWithin)
	defer cancel()
	var errs []error
	for i := len(j.Files) - 1; i >= 0; i-- {
		errs = append(errs, j.Files[i].restore())
	}
	errs = append(errs, s.tellBack(ctx, j), s.unasked(ctx, j))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("not all could be taken back (the originals are in %s): %w", s.Folder, err)
	}
	return s.Folder.clear(j)
}

// tellBack has engine and daemon act on what their files were.
func (s Switch) tellBack(ctx context.Context, j *Journal) error {
	var errs []error
	switch {
	case j.Guard:
		errs = append(errs, s.moveOut(ctx))
	case j.Managed && s.Init != nil: // an engine that has ended is started
		errs = append(errs, s.Init.Do(ctx, "reload-or-restart", engineService))
	}
	d, err := FindDockerd(ctx, "unix://"+j.Engine, s.Init)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	if !j.Guard && !j.Managed {
		errs = append(errs, reloadEngine(ctx, s.Init, d))
	}
	// A daemon that is gone has nothing to be told: its policy is in place.
	_ = reloadPlugin(ctx, s.Init, d.PluginSocket())
	return errors.Join(errs...)
}

// unasked wants the engine to answer as it did before.
func (s Switch) unasked(ctx context.Context, j *Journal) error {
	return settle(ctx, func(ctx context.Context) error {
		if err := Answers(ctx, j.Engine); err != nil {
			return err
		}
		refuses, err := Refuses(ctx, j.Engine)
		if err == nil && refuses && !j.Refused && !j.Said {
			err = errors.New("the engine still asks docker-stig-authz, which enforces: restart it (systemctl restart docker)")
		}
		return err
	})
}

package daemon

import (
	"slices"
	"strconv"
	"strings"
)

// Flags are what a command line of dockerd sets.
type Flags []setting

type setting struct{ flag, value string }

// ParseFlags reads dockerd's arguments, without the program's name, as its own
// parser does: --flag=VALUE, --flag VALUE, -HVALUE, -H VALUE, several letters
// behind one dash, a Bool alone or with =VALUE. dockerd takes no other
// arguments, so what stands behind a flag that is not known, and is none
// itself, is taken for its value.
func ParseFlags(args []string) Flags {
	var flags Flags
	for len(args) > 0 && args[0] != "--" {
		arg := args[0]
		args = args[1:]
		switch {
		case strings.HasPrefix(arg, "--"):
			args = flags.long(arg[2:], args)
		case len(arg) > 1 && arg[0] == '-':
			args = flags.short(arg[1:], args)
		}
	}
	return flags
}

// long reads a flag behind two dashes, and gives the arguments that are left.
func (f *Flags) long(text string, rest []string) []string {
	name, value, told := strings.Cut(text, "=")
	spec, known := byFlag(name)
	switch {
	case told:
	case known && spec.Kind == Bool:
		value = "true"
	case known && len(rest) > 0, len(rest) > 0 && !strings.HasPrefix(rest[0], "-"):
		value, rest = rest[0], rest[1:]
	case !known:
		value = "true"
	}
	*f = append(*f, setting{name, value})
	return rest
}

// short reads the letters behind one dash. The first that is no Bool takes
// what stands behind it, or the next argument.
func (f *Flags) short(letters string, rest []string) []string {
	for i, letter := range letters {
		spec, known := byShort(string(letter))
		if !known {
			return rest // dockerd does not start with it
		}
		behind := letters[i+1:]
		value, told := behind, len(behind) > 1 && behind[0] == '='
		if told {
			value = behind[1:]
		}
		switch {
		case spec.Kind == Bool && !told:
			*f = append(*f, setting{spec.Flag, "true"})
			continue
		case behind == "" && len(rest) > 0:
			value, rest = rest[0], rest[1:]
		}
		*f = append(*f, setting{spec.Flag, value})
		return rest
	}
	return rest
}

// Values gives the values of a flag by its long name, in their order.
func (f Flags) Values(flag string) []string {
	var values []string
	for _, s := range f {
		if s.flag == flag {
			values = append(values, s.value)
		}
	}
	return values
}

// Value gives what the flags set an option to; nil if they do not.
func (f Flags) Value(spec Spec) Value {
	if spec.Flag == "" {
		return nil
	}
	values := f.Values(spec.Flag)
	if values == nil {
		return nil
	}
	last := values[len(values)-1]
	switch spec.Kind {
	case List:
		return values
	case Map:
		return lastOfEach(values)
	case Bool:
		if on, err := strconv.ParseBool(last); err == nil {
			return Truth(on)
		}
		return Value{last} // dockerd does not start with it
	case Text, Number, Any:
	}
	return Value{last}
}

// lastOfEach keeps the last of each key, sorted.
func lastOfEach(members []string) Value {
	byKey := map[string]string{}
	for _, member := range members {
		key, value, _ := strings.Cut(member, "=")
		byKey[key] = value
	}
	return fromMap(byKey)
}

func fromMap(byKey map[string]string) Value {
	value := Value{}
	for key, text := range byKey {
		value = append(value, key+"="+text)
	}
	slices.Sort(value)
	return value
}

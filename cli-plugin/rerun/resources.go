package rerun

import (
	"encoding/csv"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/blkiodev"
	"github.com/moby/moby/api/types/container"
)

// usualShm is the size of /dev/shm that every engine gives unless daemon.json
// says otherwise.
const usualShm = 64 << 20 // bytes, moby's DefaultShmSize

// resources writes limits and devices.
func (w *writer) resources() {
	r := w.c.HostConfig.Resources
	numbers := []struct {
		flag          string
		value, unsaid int64
	}{
		{"memory", r.Memory, 0},
		{"memory-reservation", r.MemoryReservation, 0},
		{"memory-swap", r.MemorySwap, 2 * r.Memory}, // as the engine sets it
		{"cpu-shares", r.CPUShares, 0},
		{"cpu-period", r.CPUPeriod, 0},
		{"cpu-quota", r.CPUQuota, 0},
		{"cpu-rt-period", r.CPURealtimePeriod, 0},
		{"cpu-rt-runtime", r.CPURealtimeRuntime, 0},
		{"blkio-weight", int64(r.BlkioWeight), 0},
		{"cpu-count", r.CPUCount, 0},
		{"cpu-percent", r.CPUPercent, 0},
		{"oom-score-adj", int64(w.c.HostConfig.OomScoreAdj), 0},
		{"shm-size", w.c.HostConfig.ShmSize, usualShm},
		{"memory-swappiness", pointed(r.MemorySwappiness, -1), -1},
		{"pids-limit", pointed(r.PidsLimit, 0), 0},
	}
	for _, n := range numbers {
		if n.value != 0 && n.value != n.unsaid || n.flag == "memory-swappiness" && n.value == 0 {
			w.flag(n.flag, strconv.FormatInt(n.value, 10))
		}
	}
	w.said("io-maxiops", unsigned(r.IOMaximumIOps))
	w.said("io-maxbandwidth", unsigned(r.IOMaximumBandwidth))
	if r.NanoCPUs != 0 {
		w.flag("cpus", cpus(r.NanoCPUs))
	}
	w.said("cpuset-cpus", r.CpusetCpus)
	w.said("cpuset-mems", r.CpusetMems)
	w.on("oom-kill-disable", r.OomKillDisable != nil && *r.OomKillDisable)
	for _, weight := range r.BlkioWeightDevice {
		if weight != nil {
			w.flag("blkio-weight-device", fmt.Sprintf("%s:%d", weight.Path, weight.Weight))
		}
	}
	w.rates("device-read-bps", r.BlkioDeviceReadBps)
	w.rates("device-write-bps", r.BlkioDeviceWriteBps)
	w.rates("device-read-iops", r.BlkioDeviceReadIOps)
	w.rates("device-write-iops", r.BlkioDeviceWriteIOps)
	for _, u := range r.Ulimits {
		if u != nil {
			w.flag("ulimit", fmt.Sprintf("%s=%d:%d", u.Name, u.Soft, u.Hard))
		}
	}
	w.devices()
}

func pointed(value *int64, unsaid int64) int64 {
	if value == nil {
		return unsaid
	}
	return *value
}

func unsigned(value uint64) string {
	if value == 0 {
		return ""
	}
	return strconv.FormatUint(value, 10)
}

// cpus writes billionths of a CPU as docker takes them.
func cpus(nano int64) string {
	const whole = 1_000_000_000
	text := fmt.Sprintf("%d.%09d", nano/whole, max(nano%whole, -(nano%whole)))
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

func (w *writer) rates(flag string, rates []*blkiodev.ThrottleDevice) {
	for _, rate := range rates {
		if rate != nil {
			w.flag(flag, fmt.Sprintf("%s:%d", rate.Path, rate.Rate))
		}
	}
}

// devices writes the devices of the host that the container is given.
func (w *writer) devices() {
	r := w.c.HostConfig.Resources
	for _, d := range r.Devices {
		w.flag("device", deviceText(d))
	}
	w.each("device-cgroup-rule", r.DeviceCgroupRules)
	for _, request := range r.DeviceRequests {
		if request.Driver == "cdi" {
			w.each("device", request.DeviceIDs)
			continue
		}
		text, ok := gpus(request)
		if !ok {
			w.note("it was given devices (DeviceRequests) in a way that docker has no option for: look at docker inspect")
			continue
		}
		w.flag("gpus", text)
	}
}

// deviceText is a device as --device takes it.
func deviceText(d container.DeviceMapping) string {
	text := d.PathOnHost
	if d.PathInContainer != "" && d.PathInContainer != d.PathOnHost {
		text += ":" + d.PathInContainer
	}
	if d.CgroupPermissions != "" && d.CgroupPermissions != "rwm" {
		text += ":" + d.CgroupPermissions
	}
	return text
}

// gpus writes a request as --gpus takes it, which adds the capability gpu.
func gpus(r container.DeviceRequest) (string, bool) {
	if len(r.Capabilities) != 1 || len(r.Capabilities[0]) == 0 || r.Capabilities[0][len(r.Capabilities[0])-1] != "gpu" {
		return "", false
	}
	var fields []string
	if r.Driver != "" {
		fields = append(fields, "driver="+r.Driver)
	}
	switch {
	case len(r.DeviceIDs) > 0:
		fields = append(fields, "device="+strings.Join(r.DeviceIDs, ","))
	case r.Count == -1:
		fields = append(fields, "count=all")
	default:
		fields = append(fields, "count="+strconv.Itoa(r.Count))
	}
	if more := r.Capabilities[0][:len(r.Capabilities[0])-1]; len(more) > 0 {
		fields = append(fields, "capabilities="+strings.Join(more, ","))
	}
	if len(r.Options) > 0 {
		var options []string
		for _, key := range sortedKeys(r.Options) {
			options = append(options, key+"="+withoutSecrets(r.Options[key]))
		}
		fields = append(fields, "options="+joined(options))
	}
	return joined(fields), true
}

// joined is a row of comma-separated values, as options with several fields
// are read.
func joined(fields []string) string {
	var row strings.Builder
	w := csv.NewWriter(&row)
	_ = w.Write(slices.Clone(fields)) // a Builder takes all
	w.Flush()
	return strings.TrimSuffix(row.String(), "\n")
}

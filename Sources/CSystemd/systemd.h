// The parts of libsystemd that batond uses.
#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>

//! The broker: sockets, tasks, groups, configuration, HTTP, command line.

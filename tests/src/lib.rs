//! Real databases, real clients, kill loops: what the tests of this package share.

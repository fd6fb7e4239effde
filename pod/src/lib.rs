//! What the life of a process in a pod needs, whatever the process serves.

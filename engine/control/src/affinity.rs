//! Control threads stay off the workers' cores where the machine has others.

/// Moves the calling thread off `worker_cores`; where no other core is allowed it stays.
pub fn leave(worker_cores: &[usize]) {
    if worker_cores.is_empty() {
        return;
    }
    if let Err(error) = sys::affinity::avoid_cores(worker_cores) {
        crate::warning!("a control thread could not leave the workers' cores: {error}");
    }
}

//! `[assertions]`: the keys that sign what origins are told of requests.

use control::bounds::{ASSERTION_ROTATION_S, ASSERTION_ROTATION_S_MAX, ASSERTION_ROTATION_S_MIN};

use super::file::Assertions;
use super::read::{Checked, Source};
use super::value::Milliseconds;

impl Source<'_> {
    pub(super) fn assertion_rotation_s(&self, written: &Assertions) -> Checked<u64> {
        let [least, most, otherwise] =
            [ASSERTION_ROTATION_S_MIN, ASSERTION_ROTATION_S_MAX, ASSERTION_ROTATION_S].map(|seconds| seconds * 1_000);
        let shown = |ms: u64| Milliseconds(u32::try_from(ms).unwrap_or(u32::MAX));
        let found = self.within(written.rotate.as_ref(), |ms| u64::from(ms.0), least, most, otherwise, shown)?;
        Ok(found / 1_000)
    }
}

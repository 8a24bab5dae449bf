//! The last good keyset of each issuer whose keys are fetched, in the state directory, so that a gateway that starts while
//! the issuer is down serves with it. What is read back is verified as what is fetched, and bounded by `max_stale` too.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use identity::token::{Keyset, Thumbprint};
use policy::model::{Issuer, Keys};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::gone::{Gone, Key};
use crate::assemble::{files, hex};
use crate::atomic;
use crate::bounds::{GONE_KIDS_MAX, JWKS_BYTES_MAX, KEPT_CLOCK_STEP_S_MAX};

const FORMAT: &str = "adamant.keyset.v1";
/// The key set as a JSON string may be twice as long, a `kid` (256 bytes) six times, and there is more in the file.
const KEPT_BYTES_MAX: usize = 2 * JWKS_BYTES_MAX + GONE_KIDS_MAX * (2 << 10) + (64 << 10);

/// A keyset that was fetched before this process began.
pub struct Kept {
    pub keyset: Keyset,
    pub fetched_unix_s: u64,
    /// What the issuer had taken away by then.
    pub gone: Gone,
}

fn directory(state: &Path) -> PathBuf {
    state.join("keysets")
}

fn name(rules: &Issuer) -> String {
    format!("{}.json", rules.name)
}

/// What a release trusts for the keys: kind of source, whole address, who vouches for it. Keys that were fetched when a
/// release trusted otherwise are nobody's.
fn trusted(rules: &Issuer) -> String {
    let (kind, of) = match &rules.keys {
        Keys::Url(of) => ("url", of),
        Keys::Discovery(of) => ("discovery", of),
        Keys::Pinned { .. } | Keys::Watch { .. } | Keys::None => return String::new(),
    };
    hex(&Sha256::digest(json!([kind, of.url, of.ca, rules.algorithms]).to_string()))
}

/// Keeps `jwks`, which came from `source` at `fetched_unix_s`, and what went before.
pub fn save(
    state: &Path,
    rules: &Issuer,
    source: &str,
    (jwks, digest): (&str, &[u8; 32]),
    gone: &Gone,
    fetched_unix_s: u64,
) -> io::Result<()> {
    let directory = directory(state);
    match DirBuilder::new().mode(0o700).create(&directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let gone = gone.keys().iter().map(|key| json!([key.kid, hex(&key.thumbprint.0), key.seen_ms]));
    let document = json!({
        "format": FORMAT,
        "issuer": rules.issuer,
        "source": source,
        "trusted": trusted(rules),
        "fetched_unix_s": fetched_unix_s,
        "thumbprint": hex(digest),
        "jwks": jwks,
        "gone": gone.collect::<Vec<_>>(),
    });
    atomic::write(&directory, &name(rules), document.to_string().as_bytes(), 0o600)
}

/// What is kept of the issuer from that source; none where nothing is. What is there and not good is told.
pub fn load(state: &Path, rules: &Issuer, source: &str, now_s: u64) -> Option<Kept> {
    let path = directory(state).join(name(rules));
    if !path.exists() {
        return None;
    }
    let of_now = |kept: Option<Kept>| match kept {
        Some(kept) if kept.fetched_unix_s > now_s.saturating_add(KEPT_CLOCK_STEP_S_MAX) => {
            Err("it was fetched after the present time: the clock is wrong, or was".to_owned())
        }
        kept => Ok(kept),
    };
    match read(&path, rules, source).and_then(of_now) {
        Ok(kept) => kept,
        Err(why) => {
            crate::warning!("{}: the kept keyset is not used: {why}", path.display());
            None
        }
    }
}

/// What is kept of the keys that the issuer took away, whatever the clock says; what is wrong with it is for [`load`] to tell.
pub fn gone(state: &Path, rules: &Issuer, source: &str) -> Gone {
    let kept = read(&directory(state).join(name(rules)), rules, source);
    kept.ok().flatten().map_or_else(Gone::default, |kept| kept.gone)
}

fn read(path: &Path, rules: &Issuer, source: &str) -> Result<Option<Kept>, String> {
    let bytes = files::read(path, KEPT_BYTES_MAX).map_err(|error| error.to_string())?;
    let document: Value =
        serde_json::from_slice(&bytes).map_err(|_| "expected JSON, found something else".to_owned())?;
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    if text("format") != Some(FORMAT) {
        return Err(format!("expected the format {FORMAT:?}, found another"));
    }
    // Of another source than this release trusts: nothing is wrong with it.
    let same = text("issuer") == Some(rules.issuer.as_str()) && text("trusted") == Some(trusted(rules).as_str());
    if !same || text("source") != Some(source) {
        return Ok(None);
    }
    let fetched_unix_s = document.get("fetched_unix_s").and_then(Value::as_u64);
    let fetched_unix_s = fetched_unix_s.ok_or("expected `fetched_unix_s`, found none")?;
    let jwks = text("jwks").ok_or("expected `jwks`, found none")?;
    let keyset = Keyset::from_jwks(jwks, &rules.algorithms).map_err(|fault| fault.to_string())?;
    if text("thumbprint") != Some(hex(&keyset.digest()).as_str()) {
        return Err("its keys are not those of its thumbprint".to_owned());
    }
    let gone = document.get("gone").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let gone = Gone::of(gone.iter().filter_map(gone_key));
    Ok(Some(Kept { keyset, fetched_unix_s, gone }))
}

/// `[kid, thumbprint, time]`.
fn gone_key(of: &Value) -> Option<Key> {
    let digits = of.get(1)?.as_str()?;
    let byte = |at: usize| u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok();
    let mut thumbprint = [0; 32];
    for (at, place) in thumbprint.iter_mut().enumerate() {
        *place = byte(at)?;
    }
    Some(Key { kid: of.get(0)?.as_str()?.into(), thumbprint: Thumbprint(thumbprint), seen_ms: of.get(2)?.as_u64()? })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use policy::model::{Fetched, ServerCa};

    use super::*;
    use crate::testing::{self, JWKS};

    const SOURCE: &str = "https://id.example/keys";

    fn rules() -> Issuer {
        let fetched = Fetched { url: SOURCE.to_owned(), refresh_s: 60, max_stale_s: 600, ca: None };
        testing::policy(Keys::Url(fetched), None).issuers.remove(0)
    }

    #[test]
    fn it_comes_back_verified_and_owner_only() {
        let state = tempfile::tempdir().unwrap();
        let rules = rules();
        assert!(load(state.path(), &rules, SOURCE, 2_000).is_none());
        let digest = Keyset::from_jwks(JWKS, &rules.algorithms).unwrap().digest();
        let key = |kid: &str| Key { kid: kid.into(), thumbprint: Thumbprint([7; 32]), seen_ms: 999_123 };
        let gone = Gone::of([key("k1"), key("k\"2\u{1}")].into_iter());
        save(state.path(), &rules, SOURCE, (JWKS, &digest), &Gone::default(), 1_000).unwrap();
        save(state.path(), &rules, SOURCE, (JWKS, &digest), &gone, 1_001).unwrap();
        let path = state.path().join("keysets").join(name(&rules));
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let kept = load(state.path(), &rules, SOURCE, 2_000).unwrap();
        assert_eq!((kept.keyset.digest(), kept.fetched_unix_s), (digest, 1_001));
        assert_eq!(kept.gone.keys(), gone.keys());
        assert_eq!(super::gone(state.path(), &rules, SOURCE).keys(), gone.keys());
        assert!(super::gone(state.path(), &rules, "https://id.example/other").keys().is_empty());
        assert!(load(state.path(), &rules, "https://id.example/other", 2_000).is_none());
        let trusting = |url: &str, ca: Option<ServerCa>| {
            let fetched = Fetched { url: url.to_owned(), refresh_s: 30, max_stale_s: 60, ca };
            load(state.path(), &Issuer { keys: Keys::Url(fetched), ..rules.clone() }, SOURCE, 2_000)
        };
        assert!(trusting(SOURCE, None).is_some(), "how long it lives is another matter");
        assert!(trusting(SOURCE, Some(ServerCa::System)).is_none(), "vouched for by somebody else");
        assert!(trusting("https://id.example/keys?tenant=b", None).is_none());
        assert!(
            load(state.path(), &Issuer { issuer: "https://x".to_owned(), ..rules.clone() }, SOURCE, 2_000).is_none()
        );
        assert!(load(state.path(), &rules, SOURCE, 900).is_none(), "from the future");
        let whole = std::fs::read_to_string(&path).unwrap();
        for damaged in
            [whole.replacen(&hex(&digest), &"0".repeat(64), 1), whole.replace("v1", "v2"), whole[1..].to_owned()]
        {
            std::fs::write(&path, damaged).unwrap();
            assert!(load(state.path(), &rules, SOURCE, 2_000).is_none());
        }
    }
}

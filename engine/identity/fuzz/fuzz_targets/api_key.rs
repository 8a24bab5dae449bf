//! API keys: no bytes may panic, and what parses has exactly the form.
#![no_main]

use identity::api_key;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(parsed) = api_key::parse(data) {
        assert!(api_key::has_prefix(data) && api_key::is_id(parsed.id));
        assert_eq!(data.len(), 4 + parsed.id.len() + 1 + 49);
        assert!(data.is_ascii());
    }
    if let Some((random, id)) = data.split_first_chunk::<32>()
        && let Ok(id) = std::str::from_utf8(id)
        && let Ok(key) = api_key::generate(id, *random)
    {
        assert_eq!(api_key::parse(key.as_bytes()).unwrap().id, id);
    }
});

//! Which keys the tables of `gateway.toml` have: what `file.rs` says, asked of it by the way that a table is read.

use std::sync::LazyLock;

use serde::Deserialize;
use serde::de::value::Error;
use serde::de::{Deserializer, Error as _, Visitor};

use super::file;

type Keys = &'static [&'static str];

/// Every table by the one in which it is and its name (the whole file is "" in ""), and its keys.
static TABLES: LazyLock<[((&str, &str), Keys); 25]> = LazyLock::new(|| {
    [
        (("", ""), of::<file::File>()),
        (("", "gateway"), of::<file::Gateway>()),
        (("gateway", "store"), of::<file::StoreServer>()),
        (("", "workers"), of::<file::Workers>()),
        (("", "dpop"), of::<file::Dpop>()),
        (("", "assertions"), of::<file::Assertions>()),
        (("", "listener"), of::<file::Listener>()),
        (("listener", "tls"), of::<file::Tls>()),
        (("tls", "certificates"), of::<file::Certificate>()),
        (("status", "tls"), of::<file::Certificate>()),
        (("", "certificate_source"), of::<file::CertificateSource>()),
        (("certificate_source", "openbao"), of::<file::OpenBaoPki>()),
        (("certificate_source", "acme"), of::<file::Acme>()),
        (("acme", "external_account"), of::<file::ExternalAccount>()),
        (("", "admin"), of::<file::Admin>()),
        (("", "status"), of::<file::Status>()),
        (("", "records"), of::<file::Records>()),
        (("records", "checkpoints"), of::<file::Witness>()),
        (("", "origin_identity"), of::<file::OriginIdentity>()),
        (("", "introspection_client"), of::<file::IntrospectionClient>()),
        (("", "origin_credential"), of::<file::OriginCredential>()),
        (("origin_credential", "openbao"), of::<file::KvSecret>()),
        (("origin_credential", "oauth"), of::<file::OauthClient>()),
        (("", "bounds"), of::<file::Bounds>()),
        (("", "timeouts"), of::<file::Timeouts>()),
    ]
});

/// Keys of the table `name` in the table `within`; none where no table is expected.
pub fn keys(within: &str, name: &str) -> Option<Keys> {
    TABLES.iter().find(|(table, _)| *table == (within, name)).map(|(_, keys)| *keys)
}

/// Whether any table has this key.
pub fn is_key(key: &str) -> bool {
    TABLES.iter().any(|(_, keys)| keys.contains(&key))
}

/// What `T` would be read from.
fn of<'de, T: Deserialize<'de>>() -> Keys {
    let mut keys: Keys = &[];
    let _ = T::deserialize(Asked(&mut keys));
    keys
}

/// Takes down which keys are asked for, and has none of them.
struct Asked<'k>(&'k mut Keys);

impl<'de> Deserializer<'de> for Asked<'_> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(self, _: &'static str, keys: Keys, _: V) -> Result<V::Value, Error> {
        *self.0 = keys;
        Err(Error::custom("nothing is there"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("nothing is there"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq
        tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_known() {
        let tables =
            include_str!("file.rs").lines().filter_map(|line| line.strip_prefix("pub struct ")?.split(' ').next());
        for table in tables {
            assert!(include_str!("schema.rs").contains(&format!("of::<file::{table}>()")), "{table}");
        }
        assert!(keys("", "").is_some_and(|keys| keys.contains(&"origin_credential")));
        assert_eq!(keys("acme", "external_account"), Some(["key_id", "key"].as_slice()));
        assert_eq!(keys("gateway", "policy"), None);
    }
}

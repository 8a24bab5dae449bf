//! Real handshakes in memory: which certificate is served to whom, and which clients are let in.

use std::io::ErrorKind;
use std::path::Path;

use identity::certificate::ClientCa;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};

use super::*;
use crate::testing::{listener, write_chain};

fn client(trusted: &[&ChainFiles]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for of in trusted {
        roots.add(load_identity(of).unwrap().0.remove(0)).unwrap();
    }
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    builder.with_root_certificates(roots).with_no_client_auth()
}

/// The server's certificate as the client saw it, or why there was no handshake.
fn handshake(server: &ListenerTls, client: ClientConfig, name: &str) -> Result<Vec<u8>, rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(&server.config)).unwrap();
    for _ in 0..8 {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        feed(&bytes, |from| server.read_tls(from));
        server.process_new_packets()?;
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        feed(&bytes, |from| client.read_tls(from));
        client.process_new_packets()?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(client.peer_certificates().unwrap()[0].to_vec())
}

fn feed(mut bytes: &[u8], mut read: impl FnMut(&mut dyn std::io::Read) -> std::io::Result<usize>) {
    while !bytes.is_empty() {
        if read(&mut bytes).is_err_and(|error| error.kind() != ErrorKind::Interrupted) {
            return;
        }
    }
}

fn made(files: &ListenerFiles, cas: Vec<ClientCa>) -> Result<ListenerTls, TlsError> {
    let loaded = load_all(files)?;
    listener_tls(0, files, &loaded, &Arc::new(CaSet::new(cas).unwrap()), &Tickets::new().unwrap())
}

fn ca() -> ClientCa {
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let pem = parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem();
    ClientCa::from_pem("ca", &pem).unwrap()
}

fn leaf(of: &ChainFiles) -> Vec<u8> {
    load_identity(of).unwrap().0[0].to_vec()
}

#[test]
fn the_certificate_fits_the_name_and_the_first_one_serves_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let first = write_chain(directory.path(), "first", &["first.example", "*.wild.example"]);
    let second = write_chain(directory.path(), "second", &["second.example", "exact.wild.example"]);
    let tls = made(&listener(vec![first.clone(), second.clone()]), vec![]).unwrap();
    let served = |name: &str| handshake(&tls, client(&[&first, &second]), name);
    assert_eq!(served("first.example").unwrap(), leaf(&first));
    assert_eq!(served("second.example").unwrap(), leaf(&second));
    assert_eq!(served("a.wild.example").unwrap(), leaf(&first));
    assert_eq!(served("EXACT.wild.example").unwrap(), leaf(&second));
    // Nobody's name: the first certificate, which the client then refuses.
    assert!(served("unknown.example").is_err());
    assert_eq!(tls.names.len(), 2);
}

#[test]
fn client_certificates_are_asked_for_as_configured() {
    let directory = tempfile::tempdir().unwrap();
    let chain = write_chain(directory.path(), "a", &["a.example"]);
    let mut files = listener(vec![chain.clone()]);
    for (asked, admitted) in
        [(ClientCertificates::Off, true), (ClientCertificates::Optional, true), (ClientCertificates::Required, false)]
    {
        files.client_certificates = asked;
        let tls = made(&files, vec![ca()]).unwrap();
        assert_eq!(handshake(&tls, client(&[&chain]), "a.example").is_ok(), admitted, "{asked:?}");
    }
    let refused = made(&files, vec![]).err().unwrap().to_string();
    assert!(refused.contains("names no client CA"), "{refused}");
}

#[test]
fn old_versions_are_not_spoken() {
    let directory = tempfile::tempdir().unwrap();
    let chain = write_chain(directory.path(), "a", &["a.example"]);
    let mut files = listener(vec![chain.clone()]);
    let old = || {
        let mut roots = RootCertStore::empty();
        roots.add(load_identity(&chain).unwrap().0.remove(0)).unwrap();
        let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS12]).unwrap();
        builder.with_root_certificates(roots).with_no_client_auth()
    };
    assert!(handshake(&made(&files, vec![]).unwrap(), old(), "a.example").is_ok());
    files.min_version = MinimumVersion::Tls13;
    assert!(handshake(&made(&files, vec![]).unwrap(), old(), "a.example").is_err());
}

#[test]
fn mistakes_in_files_are_told_by_file() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let one = write_chain(directory.path(), "one", &["one.example"]);
    let other = write_chain(directory.path(), "other", &["other.example"]);
    let error = |chain: &Path, key: &Path| {
        let of = ChainFiles::given(chain.to_owned(), key.to_owned());
        load_all(&listener(vec![of])).err().unwrap().to_string()
    };
    assert!(error(&one.chain, &other.key).contains("do not belong together"));
    assert!(error(&one.key, &one.key).contains("no CERTIFICATE section"));
    std::fs::set_permissions(&one.chain, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(error(&one.chain, &one.chain).contains("expected one private key"));
    std::fs::set_permissions(&one.key, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(error(&one.chain, &one.key).contains("chmod 600"));
    assert!(error(&directory.path().join("none.pem"), &one.key).contains("none.pem"));
}

#[test]
fn a_ticket_is_good_where_the_same_is_asked_of_clients() {
    let directory = tempfile::tempdir().unwrap();
    let files = listener(vec![write_chain(directory.path(), "a", &["a.example"])]);
    let cas = Arc::new(CaSet::new(vec![ca()]).unwrap());
    let (loaded, tickets) = (load_all(&files).unwrap(), Tickets::new().unwrap());
    let all = [ClientCertificates::Off, ClientCertificates::Optional, ClientCertificates::Required];
    let ticketer = |client_certificates| {
        let files = ListenerFiles { client_certificates, ..files.clone() };
        Arc::clone(&listener_tls(0, &files, &loaded, &cas, &tickets).unwrap().config.ticketer)
    };
    for from in all {
        let ticket = ticketer(from).encrypt(b"session").unwrap();
        for to in all {
            assert_eq!(ticketer(to).decrypt(&ticket).is_some(), from == to, "of {from:?}, shown to {to:?}");
        }
    }
}

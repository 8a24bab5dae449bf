//! What an origin becomes, and what it cannot.

use super::*;

fn origin(addresses: &[&str], tls: Option<model::OriginTls>) -> model::Origin {
    let addresses = addresses.iter().map(|address| (*address).to_owned()).collect();
    model::Origin {
        name: "orders".to_owned(),
        addresses,
        tls,
        pass_credentials: false,
        credential: None,
        assertion: None,
    }
}

fn ca() -> String {
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
}

fn error(origin: &model::Origin) -> String {
    Planned::new(origin, &Material::default()).err().unwrap().to_string()
}

#[test]
fn addresses_stand_as_written_and_names_as_resolved() {
    let plain = Planned::new(&origin(&["10.0.0.5:8080", "[::1]:81"], None), &Material::default()).unwrap();
    let sockets: Vec<_> = plain.resolved(|_| vec![]).addresses.iter().map(|of| of.socket.to_string()).collect();
    assert_eq!(sockets, ["10.0.0.5:8080", "[::1]:81"]);

    let tls = model::OriginTls { ca: ca(), server_name: None, identity: None };
    let named = Planned::new(&origin(&["a.example:443"], Some(tls)), &Material::default()).unwrap();
    assert_eq!(named.names().collect::<Vec<_>>(), [("a.example", 443)]);
    assert!(named.resolved(|_| vec![]).addresses.is_empty());
    let address: IpAddr = "192.0.2.1".parse().unwrap();
    let resolved = named.resolved(|_| vec![address, address]);
    assert_eq!(resolved.addresses.len(), 1);
    assert_eq!(resolved.addresses[0].server_name, Some(ServerName::try_from("a.example").unwrap()));
    assert!(resolved.tls.is_some());
}

#[test]
fn identity_changes_with_trust_and_with_nothing_else() {
    let (one, other) = (ca(), ca());
    let identity = |ca: &str, server_name: Option<&str>| {
        let tls = model::OriginTls { ca: ca.to_owned(), server_name: server_name.map(str::to_owned), identity: None };
        Planned::new(&origin(&["a.example:443"], Some(tls)), &Material::default())
            .unwrap()
            .resolved(|_| vec![])
            .identity
    };
    assert_eq!(identity(&one, None), identity(&one, None));
    assert_ne!(identity(&one, None), identity(&other, None));
    assert_ne!(identity(&one, None), identity(&one, Some("b.example")));
}

#[test]
fn an_origin_whose_certificate_is_awaited_gets_nothing_by_any_way() {
    let directory = tempfile::tempdir().unwrap();
    let ca = ca();
    let of = |identity: Option<&str>, credential: bool| {
        let tls = model::OriginTls { ca: ca.clone(), server_name: None, identity: identity.map(str::to_owned) };
        let [from, header, value] = ["key", "x-key", "{secret}"].map(str::to_owned);
        let credential = credential.then_some(model::OriginCredential { from, header, value });
        model::Origin { credential, ..origin(&["a.example:443"], Some(tls)) }
    };
    let mut material = Material::default();
    let secret = Ok(Arc::new(material.secret(b"s3cr3t".to_vec().into(), None)));
    material.secrets.insert("key".to_owned(), secret);
    material.identities.insert("me".to_owned(), Err(Arc::new(TlsError::Awaited)));
    let made = |material: &Material, identity, credential| {
        Planned::new(&of(identity, credential), material).unwrap().resolved(|_| vec![])
    };
    let nothing = made(&material, None, false);
    for credential in [false, true] {
        let awaited = made(&material, Some("me"), credential);
        let own = awaited.injected.as_ref().unwrap();
        assert!(!own.is_good(|| 0) && own.missing() == Reason::OriginIdentityMissing);
        assert_ne!(awaited.identity, nothing.identity, "no connection that showed nothing is used");
        assert!(!awaited.tls.as_ref().unwrap().client_auth_cert_resolver.has_certs());
    }
    let files = crate::testing::write_chain(directory.path(), "me", &["me.example"]);
    let own = crate::assemble::material::read_identity(&files).unwrap();
    material.identities.insert("me".to_owned(), Ok(Arc::new(own)));
    let come = made(&material, Some("me"), false);
    assert!(come.injected.is_none() && come.tls.as_ref().unwrap().client_auth_cert_resolver.has_certs());
    assert_ne!(come.identity, nothing.identity);
    assert!(made(&material, Some("me"), true).injected.unwrap().is_good(|| u64::MAX));
    // What no certificate could make right is refused all the same.
    material.secrets.clear();
    let told = Planned::new(&of(Some("me"), true), &material).err().unwrap().to_string();
    assert!(told.contains("[[origin_credential]]"), "{told}");
}

#[test]
fn mistakes_name_the_origin_and_what_to_do() {
    assert!(error(&origin(&["10.0.0.5"], None)).contains("\"orders\""));
    assert!(error(&origin(&["10.0.0.5:0"], None)).contains("expected an address"));
    assert!(error(&origin(&["a.example:80"], None)).contains("needs tls"));
    let tls = |ca: String, identity: Option<&str>| model::OriginTls {
        ca,
        server_name: None,
        identity: identity.map(str::to_owned),
    };
    assert!(error(&origin(&["a.example:80"], Some(tls("no PEM".to_owned(), None)))).contains("found none"));
    assert!(error(&origin(&["a.example:80"], Some(tls(ca(), Some("client"))))).contains("[[origin_identity]]"));
    let injects = |header: &str, value: &str| {
        let (from, header, value) = ("key".to_owned(), header.to_owned(), value.to_owned());
        let credential = Some(model::OriginCredential { from, header, value });
        error(&model::Origin { credential, ..origin(&["10.0.0.5:80"], None) })
    };
    assert!(injects("x-key", "{secret}").contains("[[origin_credential]]"));
    for (header, value) in [("host", "{secret}"), ("x-key", "none"), ("x-key", "{secret}{secret}"), ("a b", "{secret}")]
    {
        assert!(injects(header, value).contains("expected the name of a field"), "{header}: {value}");
    }
}

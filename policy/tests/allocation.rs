//! Nothing allocates from proofs and target to grant and limits. Counted, not claimed.

#![expect(unsafe_code, reason = "a counting allocator is a `GlobalAlloc`, which is an unsafe trait; test code only")]
#![expect(clippy::unwrap_used, reason = "tests may stop at the first surprise")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use policy::compile::compile;
use policy::decide::Presented;
use policy::model::{
    Agent, Algorithm, ApiKey, Audit, CertificateName, CertificateProof, ClientCa, Identity, Issuer, Keys, Limit,
    LimitKind, Methods, MinimumTransport, Origin, Per, Policy, Proofs, Route, Scope, Subject, TokenProof, Unit,
};
use policy::reason::Reason;
use policy::table::{CaIndex, CertificateNameRef, IssuerIndex, Table, TokenScopes};

/// The system's allocator, counting what each thread asks of it.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to `System` unchanged; the count is a plain thread-local cell that allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `alloc` above, which is `System`'s.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

fn policy(scopes: usize) -> Policy {
    let proofs = Proofs {
        certificate: Some(CertificateProof { name: CertificateName::Spiffe("spiffe://c/bot".into()), ca: "ca".into() }),
        token: Some(TokenProof { issuer: "corp".into(), subject: Subject::Exactly("bot".into()), bound: None }),
        api_keys: vec!["key".into()],
    };
    let kind = LimitKind::Rate { burst: 5 };
    let limit = Limit { name: "l".into(), kind, count: 5, unit: Unit::Second, per: Per::Agent };
    let agent = |name: &str, identity: Identity, scope: &str| Agent {
        name: name.into(),
        identity: vec![identity],
        scopes: vec![scope.into()],
        limits: vec![limit.clone()],
    };
    Policy {
        name: "p".into(),
        audit: Audit::Queued,
        transport: MinimumTransport::Plain,
        issuers: vec![Issuer {
            name: "corp".into(),
            issuer: "https://id.example".into(),
            audience: vec!["api".into()],
            algorithms: vec![Algorithm::ES256],
            keys: Keys::Pinned { jwks: "{}".into() },
            introspection: None,
            scope_claim: None,
            leeway_s: 0,
        }],
        client_cas: vec![ClientCa { name: "ca".into(), certificates: String::new(), crl: None }],
        origins: vec![Origin {
            name: "o".into(),
            addresses: vec![],
            tls: None,
            pass_credentials: false,
            credential: None,
            assertion: None,
        }],
        routes: vec![Route {
            name: "r".into(),
            host: "api.example".into(),
            methods: Methods::Any,
            path: "/orders/{id}/{rest...}".into(),
            origin: "o".into(),
            encoded_slash: false,
            path_parameters: false,
        }],
        scopes: (0..scopes).map(|id| Scope { name: format!("s{id:04}"), routes: vec!["r".into()] }).collect(),
        agents: vec![agent("bot", Identity::Proofs(proofs), "s0001"), agent("everybody", Identity::Anonymous, "s0000")],
        api_keys: vec![ApiKey { id: "key".into(), sha256: None, expires_s: None }],
    }
}

/// One permitted request, from credentials to limits, and one refused on the way.
fn decide(table: &Table<Vec<u8>>, scopes: &TokenScopes) {
    let certificate = table.proof_certificate(CaIndex(0), CertificateNameRef::Spiffe("spiffe://c/bot"));
    let mut presented = Presented { token: Some(table.proof_token(IssuerIndex(0), b"bot")), ..Presented::default() };
    assert_eq!(table.caller(&presented).err(), Some(Reason::ProofsIncomplete));
    presented.certificate[3] = certificate;
    presented.api_key = Some(table.proof_api_key(b"key").map(|(_, proof)| proof));
    let caller = table.caller(&presented).unwrap();
    let route = table.route(b"api.example", b"PROPFIND", b"/orders/7/a/b").unwrap();
    assert!(table.route(b"api.example", b"GET", b"/orders/7").is_none());
    let grant = table.grant(&caller, scopes, route).unwrap();
    assert!(!grant.by_anonymous);
    assert_eq!((table.agent_name(grant.agent), table.scope_name(grant.scope)), ("bot", "s0001"));
    assert_eq!(table.limits(grant.agent).count(), 1);
    assert!(table.route_options(route).is_some());
}

#[test]
fn deciding_does_not_allocate() {
    for scopes in [4, 512, 513] {
        let table = Table::load(compile(&policy(scopes), [0; 32]).unwrap()).unwrap();
        let names = || [b"s0001".as_slice(), b"s0003", b"unknown"].into_iter();
        let token = table.token_scopes(names());
        assert_eq!(allocations(|| decide(&table, &token)), 0, "{scopes} scopes");
        assert_eq!(allocations(|| decide(&table, &TokenScopes::everything())), 0, "{scopes} scopes");
        let for_token = allocations(|| drop(table.token_scopes(names())));
        assert_eq!(for_token == 0, scopes <= 512, "a token's scopes are a list only above 512: {for_token}");
    }
}

#[test]
fn the_count_counts() {
    assert!(allocations(|| drop(std::hint::black_box(Vec::<u8>::with_capacity(10)))) > 0);
}

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body_util::BodyExt as _;
use http_body_util::combinators::BoxBody;
use hyper::Response;
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket};
use tokio_rustls::TlsAcceptor;

use super::*;

const BOUNDS: Bounds =
    Bounds { step: Duration::from_secs(5), whole: Duration::from_secs(20), content_bytes_max: 1 << 10 };

fn ca() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Of a server for `name` under `ca`.
fn acceptor(ca: &CertifiedIssuer<'static, KeyPair>, name: &str) -> TlsAcceptor {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, ca).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let config = config.with_single_cert(vec![certificate.der().clone()], key).unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Serves what `answer` says on loopback, over TLS under `ca` for `name`.
async fn serve(
    ca: &CertifiedIssuer<'static, KeyPair>,
    name: &str,
    answer: fn(&Request<Incoming>) -> Response<BoxBody<Bytes, Infallible>>,
) -> SocketAddr {
    let acceptor = acceptor(ca, name);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let service = service_fn(move |request| async move { Ok::<_, Infallible>(answer(&request)) });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

/// Serves a refusal of which nothing says where it ends.
async fn careless(ca: &CertifiedIssuer<'static, KeyPair>) -> SocketAddr {
    let acceptor = acceptor(ca, "127.0.0.1");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
        stream.read_exact(&mut [0; 16]).await.unwrap();
        stream.write_all(b"HTTP/1.1 401 Unauthorized\r\n\r\nno").await.unwrap();
        stream.flush().await.unwrap();
        stream.into_inner().0.shutdown().await.unwrap();
    });
    address
}

fn whole(text: &str) -> BoxBody<Bytes, Infallible> {
    Full::new(Bytes::from(text.to_owned())).boxed()
}

fn answer(request: &Request<Incoming>) -> Response<BoxBody<Bytes, Infallible>> {
    let builder = Response::builder();
    let known = request.headers().get("if-none-match").is_some_and(|tag| tag == "\"1\"");
    match request.uri().path() {
        "/keys" if known => builder.status(304).header("cache-control", "max-age=7").body(whole("")),
        "/keys" => builder.header("etag", "\"1\"").header("cache-control", "public, max-age=\"60\"").body(whole("{}")),
        "/moved" => builder.status(302).header("location", "https://127.0.0.1/").body(whole("")),
        "/gone" => builder.status(404).body(whole("")),
        "/gzip" => builder.header("content-encoding", "gzip").body(whole("x")),
        "/long" => builder.body(whole(&"x".repeat(2 << 10))),
        "/endless" => builder.body(Endless.boxed()),
        "/fields" => (0..100).fold(builder, |builder, at| builder.header(format!("x-{at}"), "1")).body(whole("")),
        "/head" => builder.header("x-long", "x".repeat(HEAD_BYTES_MAX)).body(whole("")),
        _ => builder.body(whole(request.headers().get("host").unwrap().to_str().unwrap())),
    }
    .unwrap()
}

/// Content without end.
struct Endless;

impl hyper::body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 512])))))
    }
}

async fn fault(client: &Client, address: SocketAddr, path: &str) -> HttpFault {
    let place = Place::parse(&format!("https://127.0.0.1:{}{path}", address.port())).unwrap();
    client.get(&place, None).await.unwrap_err()
}

#[tokio::test]
async fn what_stands_there_and_whether_it_changed() {
    let ca = ca();
    let address = serve(&ca, "127.0.0.1", answer).await;
    let pem = ca.pem();
    let client = Client::new(Some(&Trust::Pinned(&pem)), BOUNDS).unwrap();
    let place = Place::parse(&format!("https://{address}/keys")).unwrap();
    let Got::Content { content, etag, max_age_s } = client.get(&place, None).await.unwrap() else { panic!() };
    assert_eq!((&content[..], etag.as_deref(), max_age_s), (&b"{}"[..], Some("\"1\""), Some(60)));
    let Got::Unchanged { max_age_s } = client.get(&place, Some("\"1\"")).await.unwrap() else { panic!() };
    assert_eq!(max_age_s, Some(7));
}

#[tokio::test]
async fn everything_is_bounded_and_told() {
    let ca = ca();
    let address = serve(&ca, "127.0.0.1", answer).await;
    let pem = ca.pem();
    let client = Client::new(Some(&Trust::Pinned(&pem)), BOUNDS).unwrap();
    assert!(matches!(fault(&client, address, "/moved").await, HttpFault::Redirect { status: 302, .. }));
    assert!(matches!(fault(&client, address, "/gone").await, HttpFault::Status { status: 404, .. }));
    assert!(matches!(fault(&client, address, "/gzip").await, HttpFault::Coding { .. }));
    assert!(matches!(fault(&client, address, "/long").await, HttpFault::Size { bytes_max: 1_024, .. }));
    assert!(matches!(fault(&client, address, "/endless").await, HttpFault::Size { .. }));
    assert!(matches!(fault(&client, address, "/fields").await, HttpFault::Protocol { .. }));
    assert!(matches!(fault(&client, address, "/head").await, HttpFault::Protocol { .. }));
}

#[tokio::test]
async fn only_the_pinned_ca_vouches_and_only_for_its_name() {
    let (ca, other) = (ca(), self::ca());
    let pem = ca.pem();
    let client = Client::new(Some(&Trust::Pinned(&pem)), BOUNDS).unwrap();
    let elsewhere = serve(&ca, "id.example", answer).await;
    let told = fault(&client, elsewhere, "/keys").await;
    assert!(matches!(told, HttpFault::Tls { .. }) && told.to_string().contains("not valid for name"), "{told}");
    let stranger = serve(&other, "127.0.0.1", answer).await;
    let told = fault(&client, stranger, "/keys").await;
    assert!(matches!(told, HttpFault::Tls { .. }), "{told}");
    let without = Client::new(None, BOUNDS).unwrap();
    assert!(matches!(fault(&without, stranger, "/keys").await, HttpFault::Tls { .. }));
    assert!(Client::new(Some(&Trust::Pinned("no pem")), BOUNDS).is_err());
}

#[tokio::test]
async fn who_is_slow_gone_or_no_server_is_told_from_another() {
    let short = Bounds { step: Duration::from_millis(200), whole: Duration::from_millis(400), ..BOUNDS };
    let ca = ca();
    let pem = ca.pem();
    let client = Client::new(Some(&Trust::Pinned(&pem)), short).unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let told = fault(&client, silent.local_addr().unwrap(), "/").await;
    assert!(matches!(told, HttpFault::Time { step: Step::Handshake, .. }), "{told}");
    let deaf = TcpSocket::new_v4().unwrap();
    deaf.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    assert!(matches!(fault(&client, deaf.local_addr().unwrap(), "/").await, HttpFault::Connect { .. }));
    let place = Place::parse("https://no-such-host.invalid/").unwrap();
    let told = client.get(&place, None).await.unwrap_err();
    assert!(matches!(told, HttpFault::Name { .. } | HttpFault::Time { step: Step::Name, .. }), "{told}");
    // One byte now and then, for ever.
    let trickling = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = Place::parse(&format!("http://{}/", trickling.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = trickling.accept().await.unwrap();
        while stream.write_all(b"H").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let told = client.get(&place, None).await.unwrap_err();
    assert!(matches!(told, HttpFault::Time { step: Step::Exchange, .. } | HttpFault::Protocol { .. }), "{told}");
}

/// As where the first of two name servers is gone: the second is asked when the resolver has waited for the first.
#[tokio::test]
async fn a_status_is_told_however_its_content_ends() {
    let ca = ca();
    let pem = ca.pem();
    let client = Client::new(Some(&Trust::Pinned(&pem)), BOUNDS).unwrap();
    let address = careless(&ca).await;
    let told = fault(&client, address, "/").await.to_string();
    assert!(told.contains("answered with status 401") && told.contains("closed without Content-Length"), "{told}");
    assert!(!told.contains("docs.rs"), "{told}");
}

#[tokio::test]
async fn a_look_up_may_take_longer_than_another_step() {
    async fn slowly(bounds: Bounds) -> Result<Vec<SocketAddr>, HttpFault> {
        let place = Place::parse("https://id.example/").unwrap();
        let look_up = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(std::iter::once(SocketAddr::from(([192, 0, 2, 1], 443))))
        };
        Client::new(None, bounds).unwrap().addresses(&place, look_up).await
    }
    let brief = Bounds { step: Duration::from_millis(1), ..BOUNDS };
    assert_eq!(slowly(brief).await.unwrap(), [SocketAddr::from(([192, 0, 2, 1], 443))]);
    let told = slowly(Bounds { whole: Duration::from_millis(10), ..brief }).await.unwrap_err();
    assert!(matches!(told, HttpFault::Time { step: Step::Name, .. }), "{told}");
    assert_eq!(Bounds { whole: Duration::from_secs(60), ..BOUNDS }.of(Step::Name), Duration::from_secs(LOOK_UP_S_MAX));
}

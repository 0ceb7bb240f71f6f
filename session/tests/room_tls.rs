//! Rooms behind TLS, as nearly all servers are: a proxy in front of the double or the server that the environment names, with a certificate of its own.
//!
//! Which certificates are trusted is looked up by the environment of the process, so the tests proper run in processes of their own.

#[path = "common/rooms.rs"]
mod rooms;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs, io};

use listenkit_session::transport::{
    ConnectOptions, Connection, DataOptions, RoomEvent, RoomTransport,
};
use rooms::{SOON, Server, arrived, event, fresh};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Where the certificate is, for the processes that this one starts.
const DIRECTORY: &str = "LISTENKIT_TEST_TLS";

/// A certificate for the names of this machine, in a directory that goes with it.
struct Certificate(PathBuf);

impl Certificate {
    fn new(test: &str) -> Self {
        let name = format!("listenkit-tls-{test}-{}", std::process::id());
        let directory = env::temp_dir().join(name);
        fs::create_dir_all(&directory).expect("the temporary directory is writable");
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let made = rcgen::generate_simple_self_signed(names).expect("good names");
        let write = |name: &str, text: String| {
            fs::write(directory.join(name), text).expect("the temporary directory is writable");
        };
        write("cert.pem", made.cert.pem());
        write("key.pem", made.signing_key.serialize_pem());
        Self(directory)
    }

    fn file(&self) -> PathBuf {
        self.0.join("cert.pem")
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The end of TLS: what comes for `/base/...` goes on to the server as `/...`. Gives the port, on all addresses of this machine that there are.
async fn terminate_tls(directory: &Path, server: &Server) -> u16 {
    let certificates =
        vec![CertificateDer::from_pem_file(directory.join("cert.pem")).expect("one")];
    let key = PrivateKeyDer::from_pem_file(directory.join("key.pem")).expect("one");
    listenkit_session::install_crypto_provider();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .expect("they belong together");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let server = server.url.trim_start_matches("ws://").to_owned();
    let first = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = first.local_addr().expect("bound").port();
    let second = TcpListener::bind(("::1", port)).await.ok();
    for listener in [Some(first), second].into_iter().flatten() {
        let (acceptor, server) = (acceptor.clone(), server.clone());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(pass_on(socket, acceptor.clone(), server.clone()));
            }
        });
    }
    port
}

async fn pass_on(socket: TcpStream, acceptor: TlsAcceptor, server: String) -> io::Result<()> {
    let mut client = acceptor.accept(socket).await?;
    let mut server = TcpStream::connect(server).await?;
    let mut head = vec![0; 16_384];
    let len = client.read(&mut head).await?;
    let head = String::from_utf8_lossy(&head[..len]).replacen("GET /base/", "GET /", 1);
    server.write_all(head.as_bytes()).await?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

async fn join(transport: &dyn RoomTransport, url: &str, token: &str) -> Connection {
    let joined = transport
        .connect(url, token, &ConnectOptions::default())
        .await;
    joined.unwrap_or_else(|error| panic!("{error}"))
}

async fn meet(transport: &dyn RoomTransport, server: &Server, url: &str) {
    let room = fresh("tls");
    let mut alice = join(transport, url, &server.token("alice", &room)).await;
    let bob = join(transport, url, &server.token("bob", &room)).await;
    arrived(&mut alice, "bob").await;
    let options = DataOptions::default();
    let sent = bob.room.publish_data(b"hello", &options).await;
    sent.expect("sent");
    event(&mut alice.events, "data", |e| match e {
        RoomEvent::Data(data) => (data.payload == b"hello").then_some(()),
        _ => None,
    })
    .await;
    bob.room.close().await;
}

/// Joins under every name that the server has.
async fn meet_everywhere(transport: &dyn RoomTransport, paths: &[&str]) {
    let directory = env::var(DIRECTORY).expect("this test is started by another");
    let server = Server::start().await;
    let port = terminate_tls(Path::new(&directory), &server).await;
    for name in ["wss://localhost", "https://localhost", "wss://127.0.0.1"] {
        meet(transport, &server, &format!("{name}:{port}")).await;
    }
    for path in paths {
        meet(transport, &server, &format!("wss://localhost:{port}{path}")).await;
    }
    if TcpStream::connect(("::1", port)).await.is_ok() {
        meet(transport, &server, &format!("wss://[::1]:{port}")).await;
    } else {
        println!("skipped: no IPv6 on this machine");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by another test, with the certificate"]
async fn ffi_everywhere() {
    if let Some(transport) = rooms::ffi("TLS") {
        // It knows no servers behind a path.
        meet_everywhere(&transport, &[]).await;
    }
}

#[cfg(feature = "native")]
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by another test, with the certificate"]
async fn native_everywhere() {
    let transport = rooms::native("TLS").expect("it is built in");
    meet_everywhere(&transport, &["/", "/base", "/base/"]).await;
}

/// Runs one of the tests above where this certificate is trusted.
fn trusting(certificate: &Certificate, test: &str) {
    let run = Command::new(env::current_exe().expect("this program"))
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env("SSL_CERT_FILE", certificate.file())
        .env(DIRECTORY, &certificate.0)
        .output()
        .expect("it can be started again");
    let said = [run.stdout, run.stderr].map(|s| String::from_utf8_lossy(&s).into_owned());
    print!("{}", said[0]);
    assert!(run.status.success(), "{said:?}");
    assert!(said[0].contains("1 passed"), "{said:?}");
}

#[test]
fn the_library_joins_through_tls() {
    trusting(&Certificate::new("ffi"), "ffi_everywhere");
}

#[cfg(feature = "native")]
#[test]
fn the_native_transport_joins_through_tls() {
    trusting(&Certificate::new("native"), "native_everywhere");
}

#[cfg(feature = "native")]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_tls_is_said() {
    let transport = rooms::native("TLS").expect("it is built in");
    let certificate = Certificate::new("wrong");
    let server = Server::start().await;
    let port = terminate_tls(&certificate.0, &server).await;
    let token = server.token("alice", "room");
    let plain = server.url.trim_start_matches("ws://");
    let options = ConnectOptions::default().timeout(Duration::from_secs(5));
    for (url, parts) in [
        (
            format!("wss://localhost:{port}"),
            ["certificate", "localhost"],
        ),
        (format!("wss://{plain}"), ["TLS", "ws:"]),
        (format!("ws://localhost:{port}"), ["TLS", "wss:"]),
    ] {
        let joining = transport.connect(&url, &token, &options);
        let joined = tokio::time::timeout(SOON, joining).await.expect("in time");
        let error = joined.err().expect("it cannot be joined").to_string();
        println!("{url}: {error}");
        for part in parts {
            assert!(error.contains(part), "{part} is not in: {error}");
        }
    }
}

//! The server double as a program.

use clap::Parser;
use listenkit_test_server::{Options, TestServer};

/// A LiveKit server for tests, on 127.0.0.1.
#[derive(Parser)]
struct Arguments {
    /// TCP port for clients, workers and server libraries. UDP ports are picked by the system.
    #[arg(long, default_value_t = 7880)]
    port: u16,
    /// Key that access tokens name.
    #[arg(long, default_value = "devkey")]
    api_key: String,
    /// Secret that access tokens are signed with.
    #[arg(long, default_value = "a-secret-of-at-least-32-characters")]
    api_secret: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let filter =
        tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let arguments = Arguments::parse();
    let options = Options {
        port: arguments.port,
        api_key: arguments.api_key,
        api_secret: arguments.api_secret,
        ..Default::default()
    };
    let server = TestServer::start(options).await?;
    println!("{}", server.url());
    tokio::signal::ctrl_c().await
}

//! One cryptography provider for every TLS connection of the process.

/// Makes ring the process's provider of cryptography, unless the program has chosen one. Whoever opens a TLS connection calls this first; it is
/// cheap and may be called often.
///
/// A process in which two providers are linked and none is chosen fails at its first connection, so the choice is made here and nowhere else.
pub fn install_crypto_provider() {
    // An error says that one is installed, which is what we want.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

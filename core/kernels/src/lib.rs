//! Vector kernels of listenkit.

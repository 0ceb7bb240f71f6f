//! Model weights that listenkit may ship in any product.

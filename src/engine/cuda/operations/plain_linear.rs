//! The plain kernel of [`Linear`]: every shape, every type. Kernel: `kernels/plain_linear.cu`.

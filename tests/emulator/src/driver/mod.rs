//! The driver API as C programs see it: `libcuda.so`.

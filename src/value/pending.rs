//! Stand-ins for collections whose files are still being written; each goes when its file lands.

macro_rules! pending {
    ($($name:ident)*) => {$(
        /// Stand-in.
        #[derive(Debug, Clone, Default)]
        pub struct $name(Vec<u8>);
        impl $name {
            /// Stand-in.
            #[must_use]
            pub fn new() -> Self { Self::default() }
            /// Stand-in.
            #[must_use]
            pub fn is_empty(&self) -> bool { self.0.is_empty() }
            /// Stand-in.
            #[must_use]
            pub fn heap_size(&self) -> usize { self.0.capacity() }
            /// Stand-in.
            #[must_use]
            pub fn encoding(&self) -> &'static str { "pending" }
        }
    )*};
}
pending!(Log);

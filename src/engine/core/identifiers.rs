//! The Subscription Identifiers of a message that waits.

use std::num::NonZeroU32;

/// Mostly none or one. The second box makes it 16 bytes instead of 24, as many as a message that waits has to spare.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Identifiers {
    #[default]
    None,
    One(NonZeroU32),
    Many(Box<Box<[NonZeroU32]>>),
}

impl Identifiers {
    pub(crate) fn as_slice(&self) -> &[NonZeroU32] {
        match self {
            Self::None => &[],
            Self::One(identifier) => std::slice::from_ref(identifier),
            Self::Many(identifiers) => identifiers,
        }
    }
}

impl From<&[NonZeroU32]> for Identifiers {
    fn from(identifiers: &[NonZeroU32]) -> Self {
        match identifiers {
            [] => Self::None,
            [identifier] => Self::One(*identifier),
            many => Self::Many(Box::new(many.into())),
        }
    }
}

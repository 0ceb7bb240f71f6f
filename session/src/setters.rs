//! Setters of option structs.
//!
//! Every struct of options is written in one way, inside this crate and outside: what makes the defaults, and a setter for each field that differs.
//! The fields stay public, for reading and for what a setter does not take.

/// Makes a setter for each field, named as it. All fields have to be there, or the compiler says which is missing; those that have none are left out
/// by `; ..` at the end.
///
/// A field takes its own type. `[into]` takes what turns into it, `[list]` everything that can be gone through and turns into the items; `[some]`
/// takes the value of an `Option`.
macro_rules! setters {
    ($options:ident { $($([$($how:ident)+])? $field:ident: $type:ty),+ $(; $rest:tt)? }) => {
        /// One setter for each field, in place of a struct literal.
        impl $options {
            $($crate::setters::setter! { [$($($how)+)?] $field $type })+
        }

        const _: fn($options) = |options| {
            let $options { $($field: _,)+ $($rest)? } = options;
        };
    };
}

/// One setter.
macro_rules! setter {
    ([] $field:ident $type:ty) => {
        $crate::setters::setter! { = $field, value: $type, value }
    };
    ([into] $field:ident $type:ty) => {
        $crate::setters::setter! { = $field, value: impl Into<$type>, value.into() }
    };
    ([some] $field:ident $type:ty) => {
        $crate::setters::setter! { = $field, value: $type, Some(value) }
    };
    ([some into] $field:ident $type:ty) => {
        $crate::setters::setter! { = $field, value: impl Into<$type>, Some(value.into()) }
    };
    ([list] $field:ident $type:ty) => {
        $crate::setters::setter! {
            = $field, values: impl IntoIterator<Item = impl Into<$type>>, values.into_iter().map(Into::into).collect()
        }
    };
    (= $field:ident, $value:ident: $taken:ty, $set:expr) => {
        #[doc = concat!("Sets [`", stringify!($field), "`](field@Self::", stringify!($field), ").")]
        #[must_use]
        pub fn $field(mut self, $value: $taken) -> Self {
            self.$field = $set;
            self
        }
    };
}

pub(crate) use {setter, setters};

//! What can be asked of a book and what an answer is: a [`Query`] names dimensions, columns, a range and filters; a
//! [`Fold`](fold::Fold) adds stretches of a book up under it; a [`Table`] is typed columns and rows, whatever it is printed
//! as afterwards. `asked` is a question as people write it, in a request, on the command line or in a file of `reports/`.

pub mod answer;
pub mod asked;
pub mod delivery;
pub mod fold;
pub mod html;
pub mod named;
pub mod query;
pub mod range;
pub mod reconciliation;
pub mod sheet;
pub mod table;

pub use asked::{Asked, as_of};
pub use query::{Addend, AsOf, Clock, Dimension, Filter, Measure, Of, Query, Wrong, goes_forward};
pub use table::{Cell, Cells, Column, Table};

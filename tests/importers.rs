//! The importers of other people's price lists, each on small lists with every habit once and on whole real files.

mod tables;

use std::fmt;
use std::ops::{Index, IndexMut, Mul};

/// A dense matrix in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    rows: usize,
    columns: usize,
    values: Vec<f64>,
}

#[derive(Debug)]
pub enum MatrixError {
    Shape { expected: usize, found: usize },
    Singular,
}

impl fmt::Display for MatrixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MatrixError::Shape { expected, found } => {
                write!(f, "expected {expected} values, found {found}")
            }
            MatrixError::Singular => write!(f, "the matrix has no inverse"),
        }
    }
}

impl Matrix {
    pub fn new(rows: usize, columns: usize, values: Vec<f64>) -> Result<Self, MatrixError> {
        let expected = rows * columns;
        if values.len() != expected {
            return Err(MatrixError::Shape { expected, found: values.len() });
        }
        Ok(Matrix { rows, columns, values })
    }

    pub fn identity(size: usize) -> Self {
        let mut values = vec![0.0; size * size];
        for i in 0..size {
            values[i * size + i] = 1.0;
        }
        Matrix { rows: size, columns: size, values }
    }

    pub fn transposed(&self) -> Matrix {
        let mut values = Vec::with_capacity(self.values.len());
        for column in 0..self.columns {
            values.extend((0..self.rows).map(|row| self[(row, column)]));
        }
        Matrix { rows: self.columns, columns: self.rows, values }
    }
}

impl Index<(usize, usize)> for Matrix {
    type Output = f64;

    fn index(&self, (row, column): (usize, usize)) -> &f64 {
        &self.values[row * self.columns + column]
    }
}

impl IndexMut<(usize, usize)> for Matrix {
    fn index_mut(&mut self, (row, column): (usize, usize)) -> &mut f64 {
        &mut self.values[row * self.columns + column]
    }
}

impl Mul for &Matrix {
    type Output = Matrix;

    fn mul(self, other: &Matrix) -> Matrix {
        assert_eq!(self.columns, other.rows);
        let mut product = Matrix::new(self.rows, other.columns, vec![0.0; self.rows * other.columns])
            .expect("the shape is right");
        for i in 0..self.rows {
            for k in 0..self.columns {
                for j in 0..other.columns {
                    product[(i, j)] += self[(i, k)] * other[(k, j)];
                }
            }
        }
        product
    }
}

CREATE TABLE author (
    id          INTEGER PRIMARY KEY,
    name        TEXT NOT NULL,
    born        DATE
);

CREATE TABLE book (
    isbn        CHAR(13) PRIMARY KEY,
    title       TEXT NOT NULL,
    author_id   INTEGER NOT NULL REFERENCES author (id),
    published   DATE,
    copies      INTEGER NOT NULL DEFAULT 1 CHECK (copies >= 0)
);

CREATE TABLE loan (
    id          INTEGER PRIMARY KEY,
    isbn        CHAR(13) NOT NULL REFERENCES book (isbn),
    member_id   INTEGER NOT NULL,
    lent_on     DATE NOT NULL DEFAULT CURRENT_DATE,
    returned_on DATE,
    CHECK (returned_on IS NULL OR returned_on >= lent_on)
);

CREATE INDEX loan_open ON loan (isbn) WHERE returned_on IS NULL;

CREATE VIEW available AS
SELECT b.isbn, b.title, b.copies - COUNT(l.id) AS left_over
FROM book AS b
LEFT JOIN loan AS l ON l.isbn = b.isbn AND l.returned_on IS NULL
GROUP BY b.isbn, b.title, b.copies
HAVING b.copies > COUNT(l.id);

-- Who reads most, by month.
SELECT
    date_trunc('month', lent_on) AS month,
    member_id,
    COUNT(*) AS loans,
    RANK() OVER (PARTITION BY date_trunc('month', lent_on) ORDER BY COUNT(*) DESC) AS place
FROM loan
WHERE lent_on >= CURRENT_DATE - INTERVAL '1 year'
GROUP BY 1, 2
ORDER BY month, place;

UPDATE book
SET copies = copies + 1
WHERE isbn IN (SELECT isbn FROM loan GROUP BY isbn HAVING COUNT(*) > 50);

import { useEffect, useMemo, useState } from "react";

type Session = {
  id: string;
  title: string;
  startedAt: number;
  tags: readonly string[];
};

interface Props {
  sessions: Session[];
  onOpen: (id: string) => void;
  pageSize?: number;
}

const byNewest = (a: Session, b: Session): number => b.startedAt - a.startedAt;

export function SessionList({ sessions, onOpen, pageSize = 20 }: Props) {
  const [query, setQuery] = useState("");
  const [page, setPage] = useState(0);

  useEffect(() => setPage(0), [query]);

  const shown = useMemo(() => {
    const words = query.toLowerCase().split(/\s+/).filter(Boolean);
    return sessions
      .filter((session) => words.every((word) => matches(session, word)))
      .sort(byNewest);
  }, [sessions, query]);

  const pages = Math.max(1, Math.ceil(shown.length / pageSize));

  return (
    <section aria-label="Sessions">
      <input value={query} onChange={(event) => setQuery(event.target.value)} placeholder="Search" />
      <ul>
        {shown.slice(page * pageSize, (page + 1) * pageSize).map((session) => (
          <li key={session.id}>
            <button onClick={() => onOpen(session.id)}>{session.title}</button>
            <time>{new Date(session.startedAt).toLocaleDateString()}</time>
          </li>
        ))}
      </ul>
      <button disabled={page + 1 >= pages} onClick={() => setPage(page + 1)}>
        Next
      </button>
    </section>
  );
}

function matches(session: Session, word: string): boolean {
  return session.title.toLowerCase().includes(word) || session.tags.some((tag) => tag === word);
}

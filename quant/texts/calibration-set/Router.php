<?php

declare(strict_types=1);

namespace Example\Http;

use Closure;
use InvalidArgumentException;

final class Router
{
    /** @var array<string, list<array{pattern: string, handler: Closure}>> */
    private array $routes = [];

    public function get(string $path, Closure $handler): self
    {
        return $this->add('GET', $path, $handler);
    }

    public function post(string $path, Closure $handler): self
    {
        return $this->add('POST', $path, $handler);
    }

    public function dispatch(string $method, string $uri): string
    {
        $path = parse_url($uri, PHP_URL_PATH) ?: '/';
        foreach ($this->routes[$method] ?? [] as $route) {
            if (preg_match($route['pattern'], $path, $found) === 1) {
                $arguments = array_filter($found, 'is_string', ARRAY_FILTER_USE_KEY);
                return ($route['handler'])(...$arguments);
            }
        }
        http_response_code(404);
        return sprintf('nothing at %s', htmlspecialchars($path));
    }

    private function add(string $method, string $path, Closure $handler): self
    {
        if ($path === '' || $path[0] !== '/') {
            throw new InvalidArgumentException("a path begins with a slash: {$path}");
        }
        $pattern = preg_replace('/\{(\w+)\}/', '(?P<$1>[^/]+)', $path);
        $this->routes[$method][] = ['pattern' => "#^{$pattern}$#", 'handler' => $handler];
        return $this;
    }
}

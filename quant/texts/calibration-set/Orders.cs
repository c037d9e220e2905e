using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;

namespace Example.Orders;

public enum OrderState { Draft, Placed, Shipped, Cancelled }

public sealed record OrderLine(string Sku, int Quantity, decimal Price)
{
    public decimal Total => Quantity * Price;
}

public interface IOrderStore
{
    Task<Order?> FindAsync(Guid id, CancellationToken token = default);
    Task SaveAsync(Order order, CancellationToken token = default);
}

public sealed class Order
{
    private readonly List<OrderLine> _lines = new();

    public Guid Id { get; } = Guid.NewGuid();
    public OrderState State { get; private set; } = OrderState.Draft;
    public IReadOnlyList<OrderLine> Lines => _lines;
    public decimal Total => _lines.Sum(line => line.Total);

    public void Add(OrderLine line)
    {
        if (State != OrderState.Draft)
        {
            throw new InvalidOperationException($"order {Id} is {State}, no line can be added");
        }
        _lines.Add(line);
    }

    public void Place()
    {
        if (_lines.Count == 0)
        {
            throw new InvalidOperationException("an order needs at least one line");
        }
        State = OrderState.Placed;
    }
}

public sealed class OrderService
{
    private readonly IOrderStore _store;

    public OrderService(IOrderStore store) => _store = store;

    public async Task<decimal> PlaceAsync(Guid id, CancellationToken token)
    {
        var order = await _store.FindAsync(id, token)
            ?? throw new KeyNotFoundException($"no order {id}");
        order.Place();
        await _store.SaveAsync(order, token);
        return order.Total;
    }
}
